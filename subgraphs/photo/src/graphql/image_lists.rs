//! Handwritten resolvers of the two lists in every tile of a timeline.
//!
//! async-graphql's objects create a future and look up the registry for each field of each item, and a page has
//! hundreds of these. Here the values are known immediately, so one pass over the selection is enough.

use std::borrow::Cow;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{
    ContextSelectionSet, Name, OutputType, Positioned, ServerError, ServerResult, SimpleObject, Value,
};

use crate::domain::{FileKey, FileName, Format, Rendition as Stored, Size};

/// `[ImageSource!]!` of a photo.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageSources {
    pub key: FileKey,
    pub size: Size,
}

/// `[Rendition!]!` of a photo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renditions {
    pub key: FileKey,
    pub size: Size,
}

/// The attributes of an img or a source element.
// The next types only describe the schema: `image_list!` resolves them.
#[derive(SimpleObject)]
struct ImageSource {
    /// MIME type: image/avif or image/jpeg.
    media_type: String,
    /// For the srcset attribute: paths on this origin with their widths.
    srcset: String,
}

/// A stored size in a format.
#[derive(SimpleObject)]
struct Rendition {
    width: i32,
    height: i32,
    /// MIME type: image/avif or image/jpeg.
    media_type: String,
    /// Path on this origin; the file never changes.
    url: String,
}

impl ImageSources {
    fn items(_: Self) -> impl Iterator<Item = Format> {
        Format::BEST_FIRST.into_iter()
    }

    fn field(&self, format: Format, name: &str) -> Option<Value> {
        match name {
            "mediaType" => Some(format.media_type().into()),
            "srcset" => Some(self.key.srcset(self.size, format).into()),
            _ => None,
        }
    }
}

impl Renditions {
    fn items(self) -> impl Iterator<Item = Stored> {
        self.size.renditions(self.key.ladder())
    }

    fn field(&self, rendition: Stored, name: &str) -> Option<Value> {
        match name {
            "width" => Some(rendition.size.width.into()),
            "height" => Some(rendition.size.height.into()),
            "mediaType" => Some(rendition.format.media_type().into()),
            "url" => Some(self.key.url(FileName::from(rendition)).into()),
            _ => None,
        }
    }
}

/// Resolves a list of objects whose fields are known immediately.
macro_rules! image_list {
    ($list:ty, $item:ty) => {
        impl OutputType for $list {
            fn type_name() -> Cow<'static, str> {
                format!("[{}]", <$item as OutputType>::qualified_type_name()).into()
            }

            fn create_type_info(registry: &mut Registry) -> String {
                <$item as OutputType>::create_type_info(registry);
                Self::qualified_type_name()
            }

            fn resolve(
                &self,
                ctx: &ContextSelectionSet<'_>,
                _field: &Positioned<Field>,
            ) -> impl Future<Output = ServerResult<Value>> + Send {
                let typename = <$item as OutputType>::type_name();
                let items = Self::items(*self).map(|item| {
                    let mut fields = IndexMap::new();
                    collect(ctx, &ctx.item.node, &mut fields, &|name| match name {
                        "__typename" => Some(Value::from(&*typename)),
                        name => self.field(item, name),
                    })?;
                    Ok(Value::Object(fields))
                });
                std::future::ready(items.collect::<ServerResult<Vec<_>>>().map(Value::List))
            }
        }
    };
}

image_list!(ImageSources, ImageSource);
image_list!(Renditions, Rendition);

/// Adds the selected fields. They were validated, and `@skip` and `@include` were applied.
fn collect(
    ctx: &ContextSelectionSet<'_>,
    selected: &SelectionSet,
    fields: &mut IndexMap<Name, Value>,
    value: &impl Fn(&str) -> Option<Value>,
) -> ServerResult<()> {
    for selection in &selected.items {
        match &selection.node {
            Selection::Field(field) => {
                let name = &field.node.name;
                let found = value(&name.node).ok_or_else(|| {
                    ServerError::new(format!("There is no field {}.", name.node), Some(name.pos))
                })?;
                fields.insert(field.node.response_key().node.clone(), found);
            }
            Selection::InlineFragment(fragment) => {
                collect(ctx, &fragment.node.selection_set.node, fields, value)?;
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = ctx.query_env.fragments.get(&spread.node.fragment_name.node) {
                    collect(ctx, &fragment.node.selection_set.node, fields, value)?;
                }
            }
        }
    }
    Ok(())
}
