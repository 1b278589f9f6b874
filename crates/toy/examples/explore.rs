#![allow(missing_docs, clippy::print_stdout)]
use preflab_config::*;
fn main() {
    let set: Vec<String> = std::env::args().skip(1).collect();
    let mut base = ToySettings {
        seeds: Count::of(16),
        ..ToySettings::default()
    };
    let set: Vec<String> = set
        .into_iter()
        .filter(|s| {
            if let Some(only) = s.strip_prefix("only=") {
                base.arms.retain(|k, _| only.split(',').any(|o| o == k));
                false
            } else {
                true
            }
        })
        .collect();
    if let Ok(out) = std::env::var("TOY_OUT") {
        let s = preflab_toy::with_overrides(&ToySettings::default(), &set).unwrap();
        let t = std::time::Instant::now();
        let extras = preflab_toy::Extras {
            map: std::env::var("MAP").is_ok(),
            constructions: std::env::var("CON").is_ok(),
        };
        let r = preflab_toy::run(&s, std::path::Path::new(&out), extras, &|_, _, _| {}).unwrap();
        println!("{} {:?}", r.seconds, t.elapsed());
        return;
    }
    let s = preflab_toy::with_overrides(&base, &set).unwrap();
    let t = std::time::Instant::now();
    let o = preflab_toy::simulate(&s, &|_, _| {}).unwrap();
    println!("{:?}", t.elapsed());
    let m = |v: Vec<f64>| {
        let v: Vec<f64> = v.into_iter().filter(|x| x.is_finite()).collect();
        v.iter().sum::<f64>() / v.len() as f64
    };
    for r in o.rewards.iter().take(3) {
        println!(
            "rm loss {:.4} margin {:.2} unseen r {:.2?} row0 {:.2?}",
            r.curve.last().unwrap().loss,
            r.curve.last().unwrap().margin,
            &r.scores[8..10],
            &r.scores[..8]
        );
    }
    println!(
        "{:11} s | peak@ peakchosen end min | logrejmean max | unseen s>min>max>end | other | rej | lgc lgr start>end | tv klopt klstart H | decline sd | fallRej exc | out max-min@end",
        "arm"
    );
    for (a, name) in o.arms.iter().enumerate() {
        for (k, sc) in o.scenarios.iter().enumerate() {
            let e = |f: &dyn Fn(&preflab_toy::Run) -> f64| m(o.each(a, k, f));
            let dec = o.each(a, k, |r| r.decline());
            let sd = {
                let mu = m(dec.clone());
                (dec.iter().map(|d| (d - mu) * (d - mu)).sum::<f64>() / dec.len() as f64).sqrt()
            };
            println!(
                "{:11} {} | {:4.0} {:.3} {:.3} {:.3} | {:7.1} {:7.1} | {:.3} {:.3} {:.3} {:.3} | {:.3} | {:.1e} | {:5.1}>{:5.1} {:5.1}>{:6.1} | {:.3} {:5.2} {:5.2} {:.2} | {:.3} {:.3} min {:.3} max {:.3} | {:6.1} | {:.3} | ratio {:6.1} err {:.1e}",
                name,
                sc.number(),
                e(&|r| o.epochs[r.peak()] as f64),
                e(&|r| r.curve[r.peak()].mass_chosen),
                e(&|r| r.last().mass_chosen),
                e(&|r| r.last().log_chosen_min.exp()),
                e(&|r| r.last().log_rejected_mean),
                e(&|r| r.last().log_rejected_max),
                e(&|r| r.first().mass_unseen),
                e(&|r| r.series(|o| o.mass_unseen).into_iter().fold(1.0, f64::min)),
                e(&|r| r.series(|o| o.mass_unseen).into_iter().fold(0.0, f64::max)),
                e(&|r| r.last().mass_unseen),
                e(&|r| r.last().mass_other_chosen),
                e(&|r| r.last().mass_rejected),
                e(&|r| r.first().log_gradient_chosen),
                e(&|r| r.last().log_gradient_chosen),
                e(&|r| r.first().log_gradient_rejected),
                e(&|r| r.last().log_gradient_rejected),
                e(&|r| r.last().total_variation),
                e(&|r| r.last().kl_to_optimum),
                e(&|r| r.last().kl_to_start),
                e(&|r| r.last().entropy),
                m(dec.clone()),
                sd,
                dec.iter().copied().fold(9e9, f64::min),
                dec.iter().copied().fold(0.0, f64::max),
                e(&|r| r.first().logp_rejected - r.last().logp_rejected),
                e(&|r| {
                    let out = r.series(|o| o.mass_unseen + o.mass_other_chosen);
                    let mn = out.iter().copied().fold(1.0, f64::min);
                    out.last().unwrap() - mn
                }),
                e(&|r| r.last().log_gradient_rejected - r.last().log_gradient_chosen),
                o.each(a, k, |r| r
                    .series(|o| o.ratio_error)
                    .into_iter()
                    .fold(0.0, f64::max))
                    .into_iter()
                    .fold(0.0, f64::max)
            );
        }
    }

    for c in preflab_toy::check_claims(&o) {
        println!(
            "{} {:12} {:34} {:60} {:9.4} [{:.4} {:.4}]",
            c.claim, c.verdict, c.place, c.statement, c.effect, c.interval.low, c.interval.high
        );
    }
    for d in preflab_toy::detections(&o, &Default::default()) {
        println!(
            "{:10} {} flagged {}/{} | drop {} {:?} | deg {} {:?} on {} | dis {} {:?} on {}",
            d.arm,
            d.scenario,
            d.flagged.runs,
            d.flagged.of,
            d.drop.rate.runs,
            d.drop.strength,
            d.degradation.rate.runs,
            d.degradation.strength,
            d.degradation.median_onset,
            d.dispersion.rate.runs,
            d.dispersion.strength,
            d.dispersion.median_onset
        );
    }
}
