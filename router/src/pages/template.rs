//! The app's `index.html` with placeholders for the content of a page.

/// The text between the placeholders.
pub(super) struct Template {
    before_head: String,
    /// The head of pages without content.
    default_head: String,
    before_main: String,
    before_data: String,
    end: String,
}

impl Template {
    /// `None` if the page has no placeholders.
    pub(super) fn parse(page: &str) -> Option<Self> {
        let (before_head, rest) = page.split_once("<!--head-->")?;
        let (default_head, rest) = rest.split_once("<!--/head-->")?;
        let (before_main, rest) = rest.split_once("<!--main-->")?;
        let (before_data, end) = rest.split_once("<!--data-->")?;
        Some(Self {
            before_head: before_head.to_owned(),
            default_head: default_head.to_owned(),
            before_main: before_main.to_owned(),
            before_data: before_data.to_owned(),
            end: end.to_owned(),
        })
    }

    /// Fills the placeholders. `current` is the path of the highlighted link in the app bar.
    pub(super) fn fill(&self, head: Option<&str>, current: Option<&str>, main: &str, data: &str) -> String {
        let head = head.unwrap_or(&self.default_head);
        let bar = match current {
            Some(path) => {
                let link = format!("<a href=\"{path}\"");
                &self
                    .before_main
                    .replacen(&link, &format!("{link} aria-current=\"page\""), 1)
            }
            None => &self.before_main,
        };
        [
            &self.before_head,
            head,
            bar,
            main,
            &self.before_data,
            data,
            &self.end,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let page = "<head><!--head--><title>T</title><!--/head--></head><main><!--main--></main><!--data-->.";
        let template = Template::parse(page).unwrap();
        assert_eq!(
            template.fill(Some("H"), None, "M <!--data-->", "D"),
            "<head>H</head><main>M <!--data--></main>D."
        );
        assert_eq!(
            template.fill(None, None, "", ""),
            "<head><title>T</title></head><main></main>."
        );
        assert!(Template::parse("<title>Proofsheet</title>").is_none());
    }

    #[test]
    fn index_html_has_the_placeholders() {
        let page = include_str!("../../../frontend/index.html");
        let template = Template::parse(page).unwrap();
        for path in ["/", "/hot", "/trending"] {
            let filled = template.fill(None, Some(path), "", "");
            let marked = format!("<a href=\"{path}\" aria-current=\"page\"");
            assert_eq!(filled.matches(&marked).count(), 1, "{filled}");
        }
    }
}
