# The router with the app and the playground: docker build -f compose/router.Dockerfile -t proofsheet/router .
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG PROGRAMS=proofsheet/programs
FROM ${PROGRAMS} AS programs

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Proofsheet router" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="Proofsheet" \
      org.proofsheet.sbom="/sbom.cdx.json, /site/app.sbom.cdx.json"
USER 65532:65532
WORKDIR /
COPY --from=programs /out/site /site
COPY --from=programs /out/router /
ENV LISTEN=0.0.0.0:4999 \
    INTERNAL_LISTEN=127.0.0.1:5005 \
    SUPERGRAPH=/site/supergraph.graphql \
    APP_DIR=/site/app \
    PLAYGROUND_DIR=/site/playground
EXPOSE 4999
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s --retries=5 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["serve"]
