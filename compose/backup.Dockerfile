# The backup program with the tools of the MariaDB version that it backs up: based on the database's image.
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
# New volumes get the owner of these folders.
COPY --from=programs --chown=65532:65532 /out/empty /backup
COPY --from=programs --chown=65532:65532 /out/empty /media
COPY --from=programs /out/backup /
EXPOSE 5006
# Reports whether backups can be written. Alerts report backups that are too old.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=8 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["run"]
