//! The one style element of a page: the shape of each picture, and the colour of it before it is there.
//!
//! The policy forbids styles in attributes, which anybody's text might smuggle in; it names this element by its hash.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::photos::Print;

/// Where nothing runs, nothing invites a press.
const WITHOUT_SCRIPTS: &str =
    "@media (scripting:none){#first-paint :is(.vote,.composer,.comment-actions){display:none}}";

/// Rules as they come up while a page is written.
pub(super) struct Style {
    rules: String,
    frames: usize,
}

impl Style {
    pub(super) fn new() -> Self {
        Self {
            rules: WITHOUT_SCRIPTS.to_owned(),
            frames: 0,
        }
    }

    /// The class of an element that holds this picture. `shape` is the two sides of the frame around it.
    pub(super) fn frame(&mut self, print: &Print, shape: (u32, u32)) -> String {
        let class = format!("f{}", self.frames);
        self.frames += 1;
        let Print { width, height, .. } = print;
        let (wide, high) = shape;
        // Writing to a string cannot fail.
        let _ = write!(
            self.rules,
            "#first-paint .{class}{{--r:{wide} / {high}}}#first-paint .{class} .picture{{--ratio:{width} / {height}"
        );
        if let Some([red, green, blue]) = average(&print.placeholder) {
            let _ = write!(self.rules, ";background:#{red:02x}{green:02x}{blue:02x}");
        }
        self.rules.push('}');
        class
    }

    pub(super) fn element(&self) -> Markup {
        html! { style { (PreEscaped(&self.rules)) } }
    }

    /// How a policy names it.
    pub(super) fn source(&self) -> String {
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(&self.rules)))
    }
}

/// The average colour of a `ThumbHash`.
fn average(placeholder: &str) -> Option<[u8; 3]> {
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
    fn a_picture_has_its_shape_and_colour_and_nothing_of_anybodys_text() {
        let red = thumbhash::rgba_to_thumb_hash(1, 1, &[255, 0, 0, 255]);
        let print = |placeholder: &str| -> Print {
            let title = "</style><script>";
            serde_json::from_value(json!({
                "title": title, "width": 3, "height": 2, "placeholder": placeholder, "sources": [],
            }))
            .unwrap()
        };
        let mut style = Style::new();
        assert_eq!(style.frame(&print(&STANDARD.encode(red)), (3, 2)), "f0");
        assert_eq!(style.frame(&print("</style>"), (5, 2)), "f1");
        let text = style.element().into_string();
        // As near to red as so few bits come.
        assert!(
            text.contains("#first-paint .f0 .picture{--ratio:3 / 2;background:#fe0001}"),
            "{text}"
        );
        assert!(
            text.contains("#first-paint .f1{--r:5 / 2}#first-paint .f1 .picture{--ratio:3 / 2}"),
            "{text}"
        );
        assert_eq!(text.matches('<').count(), 2, "{text}");
        assert!(style.source().starts_with("'sha256-") && style.source().ends_with("='"));
    }
}
