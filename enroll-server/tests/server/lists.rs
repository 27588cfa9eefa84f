//! Lists of the command line, page by page.

use serde_json::json;

use crate::cli::{json, on};
use crate::kit::Site;

#[tokio::test]
async fn certificates_keys_and_batches_are_listed_page_by_page() {
    let site = Site::new().await;
    let folder = site.folder.path();
    for name in ["SN-1", "SN-2", "SN-3"] {
        site.enroll(&site.device(name).await).await;
        assert!(on(folder, &["key", "create", "--device", name]).status.success());
    }
    for (list, field, name) in [(["cert", "list"], "certificates", "serial"), (["key", "list"], "keys", "id")]
    {
        let page = |more: &[&str]| {
            let page = json(&on(folder, &[&list[..], more].concat()));
            let rows =
                page[field].as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned());
            (rows.collect::<Vec<_>>(), page["next"].as_str().map(str::to_owned))
        };
        let (all, end) = page(&["--json"]);
        assert_eq!((all.len(), end), (3, None));
        let (mut first, next) = page(&["--json", "--limit", "2"]);
        let next = next.unwrap();
        let (second, end) = page(&["--json", "--limit", "2", "--after", &next]);
        assert_eq!((first.len(), end), (2, None));
        first.extend(second);
        assert_eq!(first, all);
        let table = String::from_utf8(on(folder, &[&list[..], &["--limit", "2"]].concat()).stdout).unwrap();
        assert!(table.ends_with(&format!("There are more: --after {next}\n")), "{table}");
    }
    let of_one = json(&on(folder, &["cert", "list", "--device", "SN-2", "--json"]));
    assert_eq!(of_one["certificates"].as_array().unwrap().len(), 1);
    assert_eq!(json(&on(folder, &["batch", "list", "--json"])), json!({ "batches": [], "next": null }));
}
