//! What every page has to be, as a machine can see it: contrast, names of controls, order of headings, width.

use browser_tests::{Browser, View};

/// The least contrast of text (WCAG 2.2, success criterion 1.4.3).
const CONTRAST: f64 = 4.5;

/// Texts that are seen and stand out too little: each with its contrast.
const PALE: &str = r"(least => {
    const numbers = text => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = numbers(getComputedStyle(at).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const pale = [];
    for (const element of document.body.querySelectorAll('*')) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.getClientRects().length) continue;
        const [one, other] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (contrast < least) pale.push(`${element.tagName}.${element.className} ${contrast.toFixed(2)}`);
    }
    return pale;
})";

/// Controls without a name, and headings that skip a level.
const UNNAMED: &str = r"(() => {
    const wrong = [];
    for (const control of document.querySelectorAll('input:not([type=hidden]), select')) {
        if (!control.labels.length) wrong.push(`no label: ${control.name}`);
    }
    for (const control of document.querySelectorAll('button, a, summary')) {
        if (!control.textContent.trim()) wrong.push(`no text: ${control.outerHTML}`);
    }
    for (const table of document.querySelectorAll('table')) {
        if (!table.caption || !table.querySelector('th[scope]')) wrong.push('a table without caption or heads');
    }
    for (const picture of document.querySelectorAll('svg, img')) {
        if (!picture.querySelector('title')) wrong.push('a picture without a text');
    }
    for (const bar of document.querySelectorAll('svg rect')) {
        const { width, height } = bar.getBoundingClientRect();
        if (width < 1 || height < 1) wrong.push('a bar that is not seen');
    }
    const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
    if (new Set(ids).size !== ids.length) wrong.push(`an id twice: ${ids.sort()}`);
    let level = 0;
    for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
        const next = Number(heading.tagName[1]);
        if (next > level + 1) wrong.push(`a heading skips a level: ${heading.textContent}`);
        level = next;
    }
    return wrong;
})()";

/// Checks a page that is open.
pub(crate) async fn page(browser: &Browser, path: &str, view: View) {
    let found = wrong(browser).await;
    assert!(found.is_empty(), "{path} at {view:?}: {found:#?}");
}

/// What is wrong with the page that is open.
async fn wrong(browser: &Browser) -> Vec<String> {
    let mut wrong = Vec::new();
    for list in [format!("{PALE}({CONTRAST})"), UNNAMED.to_owned()] {
        let found = browser.ask(&list).await;
        wrong.extend(found.as_array().unwrap().iter().map(|problem| problem.as_str().unwrap().to_owned()));
    }
    let wide =
        browser.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    if wide.as_i64().unwrap() > 0 {
        wrong.push(format!("{wide} pixels wider than the window"));
    }
    wrong
}

/// Each check can fail: what it is there to find is put into a page, and found.
pub(crate) async fn find_their_plants(browser: &Browser) {
    let plants = [
        (
            "const e = document.createElement('p'); e.className = 'far'; e.textContent = 'x'; \
          e.attributeStyleMap.set('color', 'rgb(150, 150, 150)'); main.append(e)",
            "P.far",
        ),
        ("const e = document.createElement('input'); e.name = 'plant'; main.append(e)", "no label: plant"),
        (
            "const s = document.createElementNS('http://www.w3.org/2000/svg', 'svg'); s.innerHTML = \
          '<title>x</title><line><rect width=\"9\" height=\"9\"/></line>'; main.append(s)",
            "a bar that is not seen",
        ),
        ("main.append(document.createElement('h4'))", "skips a level"),
        (
            "const e = document.createElement('div'); e.attributeStyleMap.set('width', '5000px'); \
          e.textContent = 'x'; main.append(e)",
            "wider than the window",
        ),
    ];
    browser.look(super::DESKTOP).await;
    for (plant, told) in plants {
        browser.open("/tokens").await;
        assert!(wrong(browser).await.is_empty());
        browser.ask(&format!("(main => {{ {plant}; }})(document.querySelector('main'))")).await;
        let found = wrong(browser).await;
        assert!(found.iter().any(|problem| problem.contains(told)), "{told}: {found:?}");
    }
    // What the policy of contents stops, and what comes from elsewhere, is told by the browser itself.
    assert!(browser.problems().await.is_empty());
    let plants = [
        (
            "const e = document.createElement('script'); e.textContent = '1'; document.body.append(e)",
            "script",
        ),
        ("document.querySelector('main').setAttribute('style', 'color: red')", "style"),
        (
            "const e = document.createElement('img'); e.src = 'https://elsewhere.example/x.png'; document.body.append(e)",
            "elsewhere",
        ),
    ];
    for (plant, told) in plants {
        browser.ask(&format!("(() => {{ {plant}; }})()")).await;
        let found = browser.problems().await;
        assert!(found.iter().any(|problem| problem.contains(told)), "{told}: {found:?}");
    }
}
