//! The frame of every page.

use maud::{DOCTYPE, Markup, html};

use super::parts;
use super::routes::{icon_address, style_address};
use super::session::SignedIn;

/// The pages that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Devices,
    Approvals,
    Tokens,
    Policies,
    Audit,
}

impl Place {
    const ALL: [Self; 6] =
        [Self::Overview, Self::Devices, Self::Approvals, Self::Tokens, Self::Policies, Self::Audit];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Devices => "Devices",
            Self::Approvals => "Approvals",
            Self::Tokens => "Tokens",
            Self::Policies => "Policies",
            Self::Audit => "Audit log",
        }
    }

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Devices => "/devices",
            Self::Approvals => "/approvals",
            Self::Tokens => "/tokens",
            Self::Policies => "/policies",
            Self::Audit => "/audit",
        }
    }
}

/// A page for someone who is signed in. `done` says what their last form did.
pub(super) fn page(
    who: &SignedIn,
    place: Place,
    title: &str,
    done: Option<&str>,
    content: &Markup,
) -> Markup {
    let bar = html! {
        nav aria-label="Pages" {
            ul {
                @for there in Place::ALL {
                    li {
                        a href=(there.path()) aria-current=[(there == place).then_some("page")] { (there.title()) }
                    }
                }
            }
        }
        div.who {
            span { span.label { (who.label()) } " " span.role { (who.role()) } }
            (parts::form(who, "/sign-out", &html! { button.plain { "Sign out" } }))
        }
    };
    let main = html! {
        @if let Some(done) = done { p.done role="status" { (done) } }
        (content)
    };
    frame(title, &bar, &main)
}

/// A page with a sentence, for whoever comes.
pub(super) fn bare(title: &str, text: &str) -> Markup {
    let main = html! {
        div.narrow {
            h1 { (title) }
            p { (text) }
            p { a href="/" { "To the overview" } }
        }
    };
    frame(title, &html! {}, &main)
}

/// A page for whoever is not signed in.
pub(super) fn outside(title: &str, content: &Markup) -> Markup {
    frame(title, &html! {}, &html! { div.narrow { (content) } })
}

fn frame(title: &str, bar: &Markup, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Enrollment" }
                link rel="stylesheet" href=(style_address());
                link rel="icon" type="image/svg+xml" href=(icon_address());
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    div.inner {
                        a.brand href="/" { "Enrollment" }
                        (bar)
                    }
                }
                main #main tabindex="-1" { (main) }
                footer { p { "All times are in UTC." } }
            }
        }
    }
}
