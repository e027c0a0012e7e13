# The image of build.Dockerfile from existing builds, which `compose/images pack` arranges.
FROM scratch
COPY . /out
