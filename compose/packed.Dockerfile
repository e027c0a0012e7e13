# The same image as build.Dockerfile's, of programs that were built before: `compose/images pack` lays them out.
FROM scratch
COPY . /out
