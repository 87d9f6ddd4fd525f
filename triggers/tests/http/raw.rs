//! Every case of the list is answered as it says, and reaches the handler only if it should.

use super::cases;
use super::support::{Bench, statuses};

#[tokio::test]
async fn every_request_of_the_list_is_answered_as_it_says() {
    let cases = cases::all();
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let bench = Bench::echo();
        let answer = bench.ask(&case.sent).await;
        let (answers, reached) = (statuses(&answer), bench.asked.lock().unwrap().clone());
        if answers != case.answers || reached != case.reached || !answer.contains(case.holds) {
            let answer: String = answer.chars().take(300).collect();
            wrong.push(format!("{}: {answers:?}, reached {reached:?}: {answer:?}", case.what));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
