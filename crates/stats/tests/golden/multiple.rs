use preflab_stats::{Correction, adjust, reject};

use super::case::{Case, Golden, numbers};

pub fn check(_: &Golden, case: &mut Case) {
    let correction = match case.kind() {
        "bonferroni" => Correction::Bonferroni,
        "sidak" => Correction::Sidak,
        "holm" => Correction::Holm,
        "hochberg" => Correction::Hochberg,
        "hommel" => Correction::Hommel,
        "benjamini_hochberg" => Correction::BenjaminiHochberg,
        "benjamini_yekutieli" => Correction::BenjaminiYekutieli,
        kind => panic!("{}: unknown kind {kind}", case.id()),
    };
    let p = numbers(case.input("p"));
    let adjusted = adjust(&p, correction).unwrap();
    case.list("adjusted", &adjusted);
    let levels = case.value["expected"].as_object().unwrap();
    let levels = levels.keys().filter_map(|key| key.strip_prefix("reject_"));
    for level in levels.filter(|level| *level != "differs_from_adjusted_le_alpha") {
        let alpha: f64 = level.parse().unwrap();
        let rejected = reject(&p, alpha, correction).unwrap();
        let mut differs = 0;
        for (i, (&rejected, &adjusted)) in rejected.iter().zip(&adjusted).enumerate() {
            case.flag(&format!("reject_{level}[{i}]"), rejected);
            differs += usize::from(rejected != (adjusted <= alpha));
        }
        case.count(
            &format!("reject_differs_from_adjusted_le_alpha.{level}"),
            differs,
        );
    }
}
