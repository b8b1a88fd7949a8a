use super::super::{defender, graph};
use super::*;

/// The number of comparisons, if the query is accepted.
fn defender_takes(query: &str) -> Result<usize, String> {
    let terms = defender::list_rules(defender::Paging::Skip);
    Query::parse(query, &terms.dialect, false).map(|parsed| parsed.filter.len())
}

fn graph_takes(query: &str) -> Result<usize, String> {
    let terms = graph::list_rules(graph::GraphOptions::default());
    Query::parse(query, &terms.dialect, false).map(|parsed| parsed.filter.len())
}

#[test]
fn the_documented_filters_are_understood() {
    for (query, comparisons) in [
        ("", 0),
        ("$filter=lastUpdateTime+ge+2020-06-03T18:04:29.4633333Z", 1),
        (
            "%24filter=createdTime%20gt%202020-06-03T18%3A04%3A29Z%20and%20status%20eq%20'Active'",
            2,
        ),
        (
            "$filter=assignedTo+ne+'O''Neil and son'&$top=100&$skip=0",
            1,
        ),
        (
            "$filter=lastUpdateTime ge 2020-01-01T00:00:00Z and lastUpdateTime lt 2020-01-02T00:00:00Z",
            2,
        ),
    ] {
        assert_eq!(defender_takes(query), Ok(comparisons), "{query}");
    }
}

#[test]
fn all_else_is_refused() {
    for query in [
        "$top=101",
        "$top=0",
        "$top=ten",
        "$top=",
        "$top=+5",
        "$skip=-1",
        "$skip=1&$skip=2",
        "$orderby=lastUpdateTime",
        "$select=incidentId",
        "$expand=alerts",
        "$count=true",
        "$skiptoken=s00000000",
        "top=5",
        "$TOP=5",
        "$filter=",
        "$filter=severity eq 'High'",
        "$filter=incidentId eq 1",
        "$filter=status eq Active",
        "$filter=status eq 'active'",
        "$filter=status gt 'Active'",
        "$filter=status eq 'Active",
        "$filter=lastUpdateTime ge '2020-06-03T18:04:29Z'",
        "$filter=lastUpdateTime ge 2020-06-03T18:04:29+00:00",
        "$filter=lastUpdateTime ge 2020-06-03T18:04:29%2B00:00",
        "$filter=lastUpdateTime ge 2020-06-03T18:04:29.46333333Z",
        "$filter=lastUpdateTime GE 2020-06-03T18:04:29Z",
        "$filter=lastUpdateTime ne 2020-06-03T18:04:29Z",
        "$filter=lastupdatetime ge 2020-06-03T18:04:29Z",
        "$filter=(lastUpdateTime ge 2020-06-03T18:04:29Z)",
        "$filter=status eq 'Active' or status eq 'Resolved'",
        "$filter=status eq 'Active' and",
        "$filter=lastUpdateTime ge 2020-06-03T18:04:29Z%",
    ] {
        assert!(defender_takes(query).is_err(), "{query} was taken");
    }
}

#[test]
fn graph_takes_what_it_documents() {
    for (query, comparisons) in [
        ("$top=50&$skip=3&$expand=alerts&$count=true", 0),
        (
            "$filter=lastUpdateDateTime+ge+2020-06-03T18:04:29.4633333Z",
            1,
        ),
        (
            "$filter=createdDateTime lt 2020-06-03T18:04:29Z and severity eq 'high' and status ne 'awaitingAction'",
            3,
        ),
        (
            "$filter=classification eq 'truePositive' and determination ne 'malware' and assignedTo eq 'a b'",
            3,
        ),
    ] {
        assert_eq!(graph_takes(query), Ok(comparisons), "{query}");
    }
    for query in [
        "$orderby=lastUpdateDateTime asc",
        "$select=id",
        "$search=x",
        "$expand=evidence",
        "$expand=alerts,comments",
        "$expand=alerts($top=5)",
        "$count=yes",
        "$top=51",
        "$filter=lastUpdateTime ge 2020-06-03T18:04:29Z",
        "$filter=lastUpdateDateTime ge '2020-06-03T18:04:29Z'",
        "$filter=lastUpdateDateTime ge 2020-06-03T18:04:29+00:00",
        "$filter=status eq 'Active'",
        "$filter=status eq active",
        "$filter=severity gt 'low'",
        "$filter=displayName eq 'x'",
        "$skiptoken=abc",
    ] {
        assert!(graph_takes(query).is_err(), "{query} was taken");
    }
}
