# The backup program beside the tools of the very MariaDB that it backs up: on top of the database's image.
#
#   docker build -f compose/backup.Dockerfile --build-arg BASE=proofsheet/database -t proofsheet/backup .
ARG BASE=proofsheet/database
ARG PROGRAMS=proofsheet/programs
FROM ${PROGRAMS} AS programs

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Proofsheet backup" \
      org.opencontainers.image.licenses="MIT AND GPL-2.0-only" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="Proofsheet" \
      org.proofsheet.sbom="/sbom.cdx.json, /var/lib/dpkg/status"
USER 65532:65532
WORKDIR /
ENV LISTEN=0.0.0.0:5006 \
    BACKUP_STORE=file:///backup
# New volumes there take over these folders' owner.
COPY --from=programs --chown=65532:65532 /out/empty /backup
COPY --from=programs --chown=65532:65532 /out/empty /media
COPY --from=programs /out/backup /
EXPOSE 5006
# It says whether backups can be written; that they are too old is for the alerts to say.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=8 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["run"]
