//! The style element of a page: the aspect ratio and placeholder colour of each photo.
//!
//! The Content-Security-Policy forbids style attributes and allows this element by its hash.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use ui::geometry::Shape;

use crate::graph_types::PhotoImage;

/// Hides controls that need scripts.
const NO_SCRIPT_STYLE: &str =
    "@media (scripting:none){#first-paint :is(.vote,.composer,.comment-actions){display:none}}";

/// The CSS rules of one page.
pub(super) struct Style {
    rules: String,
    frames: usize,
}

impl Style {
    pub(super) fn new() -> Self {
        Self {
            rules: NO_SCRIPT_STYLE.to_owned(),
            frames: 0,
        }
    }

    /// Adds rules for a photo, and returns their class. `shape` is the width and height of the frame.
    pub(super) fn frame(&mut self, image: &PhotoImage, shape: Shape) -> String {
        let class = format!("f{}", self.frames);
        self.frames += 1;
        let PhotoImage { width, height, .. } = image;
        let (wide, high) = shape;
        // Writing to a string cannot fail.
        let _ = write!(
            self.rules,
            "#first-paint .{class}{{--r:{wide} / {high}}}#first-paint .{class} .picture{{--ratio:{width} / {height}"
        );
        if let Some([red, green, blue]) = average_color(&image.placeholder) {
            let _ = write!(self.rules, ";background:#{red:02x}{green:02x}{blue:02x}");
        }
        self.rules.push('}');
        class
    }

    pub(super) fn element(&self) -> Markup {
        html! { style { (PreEscaped(&self.rules)) } }
    }

    /// The source expression of the Content-Security-Policy: the hash of the rules.
    pub(super) fn csp_source(&self) -> String {
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(&self.rules)))
    }
}

/// The average colour of a `ThumbHash`.
fn average_color(placeholder: &str) -> Option<[u8; 3]> {
    let hash = STANDARD.decode(placeholder).ok()?;
    let (red, green, blue, _) = thumbhash::thumb_hash_to_average_rgba(&hash).ok()?;
    Some([red, green, blue].map(byte))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 255"
)]
fn byte(share: f32) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_contain_no_user_input() {
        let red = thumbhash::rgba_to_thumb_hash(1, 1, &[255, 0, 0, 255]);
        let image = |placeholder: &str| -> PhotoImage {
            let title = "</style><script>";
            serde_json::from_value(json!({
                "title": title, "width": 3, "height": 2, "placeholder": placeholder, "sources": [],
            }))
            .unwrap()
        };
        let mut style = Style::new();
        assert_eq!(style.frame(&image(&STANDARD.encode(red)), (3, 2)), "f0");
        assert_eq!(style.frame(&image("</style>"), (5, 2)), "f1");
        let text = style.element().into_string();
        // The closest value to red that a ThumbHash can store.
        assert!(
            text.contains("#first-paint .f0 .picture{--ratio:3 / 2;background:#fe0001}"),
            "{text}"
        );
        assert!(
            text.contains("#first-paint .f1{--r:5 / 2}#first-paint .f1 .picture{--ratio:3 / 2}"),
            "{text}"
        );
        assert_eq!(text.matches('<').count(), 2, "{text}");
        assert!(style.csp_source().starts_with("'sha256-") && style.csp_source().ends_with("='"));
    }
}
