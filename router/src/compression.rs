//! Compresses GraphQL responses only: photos are compressed already, and the app's files are stored compressed.

use std::rc::Rc;

use hive_router::config::HiveRouterConfig;
use hive_router::ntex::service::{Service, ServiceCtx};
use hive_router::ntex::web::{self, DefaultError, WebRequest, WebResponse};
use hive_router::ntex::{Middleware, SharedCfg};
use hive_router::pipeline::response_compression::{
    ResponseCompressionMiddleware, ResponseCompressionService,
};

use crate::route::RequestRoute;

/// The library's compression, for the GraphQL endpoint only.
#[derive(Clone)]
pub(crate) struct CompressGraphql {
    compression: ResponseCompressionService,
}

impl CompressGraphql {
    pub(crate) fn new(config: &'static HiveRouterConfig) -> Self {
        Self {
            compression: ResponseCompressionService::new(config),
        }
    }
}

impl<S> Middleware<S, SharedCfg> for CompressGraphql {
    type Service = CompressGraphqlMiddleware<S>;

    fn create(&self, service: S, cfg: SharedCfg) -> Self::Service {
        let plain = Shared(Rc::new(service));
        CompressGraphqlMiddleware {
            compressing: self.compression.create(plain.clone(), cfg),
            plain,
        }
    }
}

pub(crate) struct CompressGraphqlMiddleware<S> {
    plain: Shared<S>,
    compressing: ResponseCompressionMiddleware<Shared<S>>,
}

impl<S> Service<WebRequest<DefaultError>> for CompressGraphqlMiddleware<S>
where
    S: Service<WebRequest<DefaultError>, Response = WebResponse, Error = web::Error>,
{
    type Response = WebResponse;
    type Error = web::Error;

    hive_router::ntex::forward_ready!(plain);

    async fn call(
        &self,
        request: WebRequest<DefaultError>,
        ctx: ServiceCtx<'_, Self>,
    ) -> Result<Self::Response, Self::Error> {
        if RequestRoute::of_web_request(&request) == RequestRoute::Graphql {
            ctx.call(&self.compressing, request).await
        } else {
            ctx.call(&self.plain, request).await
        }
    }
}

/// A service that both paths share.
struct Shared<S>(Rc<S>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Service<WebRequest<DefaultError>> for Shared<S>
where
    S: Service<WebRequest<DefaultError>, Response = WebResponse, Error = web::Error>,
{
    type Response = WebResponse;
    type Error = web::Error;

    async fn ready(&self, ctx: ServiceCtx<'_, Self>) -> Result<(), Self::Error> {
        ctx.ready(&*self.0).await
    }

    async fn call(
        &self,
        request: WebRequest<DefaultError>,
        ctx: ServiceCtx<'_, Self>,
    ) -> Result<Self::Response, Self::Error> {
        ctx.call(&*self.0, request).await
    }
}
