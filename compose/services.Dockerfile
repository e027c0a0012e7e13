# A small image for each service, with the programs of build.Dockerfile (or packed.Dockerfile):
#
#   docker build -f compose/services.Dockerfile --target vote -t proofsheet/vote .
#
# BASE needs the C library, certificates and a user 65532: distroless/cc, a mirror of it, or the result of
# compose/base.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG PROGRAMS=proofsheet/programs
FROM ${PROGRAMS} AS programs

FROM ${BASE} AS service
ARG REVISION=unknown
LABEL org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="Proofsheet" \
      org.proofsheet.sbom="/sbom.cdx.json"
USER 65532:65532
WORKDIR /
# Reports that the process responds. It does not check the database, because a restart would not help against its
# outage. The start period includes the migrations of an upgrade.
HEALTHCHECK --interval=5s --timeout=10s --start-period=120s --retries=5 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["serve"]

FROM service AS profile
LABEL org.opencontainers.image.title="Proofsheet profile"
ENV LISTEN=0.0.0.0:5000
COPY --from=programs /out/profile /

FROM service AS authentication
LABEL org.opencontainers.image.title="Proofsheet authentication"
ENV LISTEN=0.0.0.0:5001
COPY --from=programs /out/authentication /

FROM service AS vote
LABEL org.opencontainers.image.title="Proofsheet vote"
ENV LISTEN=0.0.0.0:5003
COPY --from=programs /out/vote /

FROM service AS comment
LABEL org.opencontainers.image.title="Proofsheet comment"
ENV LISTEN=0.0.0.0:5004
COPY --from=programs /out/comment /

FROM service AS photo
LABEL org.opencontainers.image.title="Proofsheet photo"
ENV LISTEN=0.0.0.0:5002
# A new volume at /media gets the owner of this folder.
COPY --from=programs --chown=65532:65532 /out/empty /media
COPY --from=programs /out/photo /
