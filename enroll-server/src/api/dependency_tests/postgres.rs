//! The same on PostgreSQL, where the statement that failed takes the rest of its transaction with it, and where it may be the next
//! one at which that shows.

use super::{certificates, passed_over, places, refusals};
use crate::store::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_on_postgresql_it_means_later_and_then_there_is_a_certificate() {
    certificates(Place::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_on_postgresql_nobody_who_is_to_be_refused_gets_a_certificate() {
    Box::pin(refusals(Place::postgres())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_on_postgresql_a_full_group_takes_no_more_devices() {
    Box::pin(places(Place::postgres())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_a_check_that_is_passed_over_on_postgresql_is_found() {
    Box::pin(passed_over(Place::postgres())).await;
}
