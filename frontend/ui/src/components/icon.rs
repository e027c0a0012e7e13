//! Icons on a 24 × 24 grid. They are hidden from screen readers: text or a label has the meaning.

use tachys::prelude::*;
use tachys::svg;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IconName {
    Up,
    Down,
    Comment,
    Close,
    Upload,
    Person,
    Latest,
    Hot,
    Trending,
    Previous,
    Next,
    Zoom,
    FullScreen,
}

impl IconName {
    /// The data of the SVG path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Up => "M12 4.5 20 14h-5v5.5H9V14H4z",
            Self::Down => "M12 19.5 4 10h5V4.5h6V10h5z",
            Self::Comment => "M4 5h16v11h-9l-4.5 4v-4H4z",
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::Upload => "M12 16V5M7 9.5 12 4.5l5 5M4.5 15v4.5h15V15",
            Self::Person => {
                "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.8-3.6 3.8-5.5 7.5-5.500s6.7 1.9 7.5 5.5"
            }
            Self::Latest => "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.500l3 2",
            Self::Hot => {
                "M12 3.500c.6 3.4 5.5 5 5.5 10a5.5 5.5 0 0 1-11 0c0-2.3 1.2-3.6 2.3-5 .4 1.5 1 2.2 1.9 2.5-.3-3 .2-5.4 1.3-7.500z"
            }
            Self::Trending => "M4 17l5.5-6 4 3.500L20 7M14.5 7H20v5.5",
            Self::Previous => "M14.5 5.5 8 12l6.5 6.5",
            Self::Next => "M9.5 5.5 16 12l-6.5 6.5",
            Self::Zoom => {
                "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.500 15.5 20 20M7.5 10.5h6M10.5 7.5v6"
            }
            Self::FullScreen => "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
        }
    }
}

pub fn icon(name: IconName) -> AnyView {
    svg::svg()
        .class("icon")
        .attr("viewBox", "0 0 24 24")
        .aria_hidden("true")
        .child(svg::path().attr("d", name.path()))
        .into_any()
}
