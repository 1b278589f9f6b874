//! What a wrong file is answered with.

use crate::fake::{TWO_ARMS, plan_of};

fn problems(text: &str, overrides: &[&str]) -> String {
    match plan_of(text, overrides) {
        Ok(_) => panic!("no problem found"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn a_wrong_key() {
    insta::assert_snapshot!(problems(&TWO_ARMS.replace("beta = 0.1", "beat = 0.1"), &[]), @"
    experiments/test.toml:14:34
       |
    14 | method.dpo = { objective.dpo = { beat = 0.1 } }
       |                                  ^^^^
    unknown key `beat`

    hint: did you mean `beta`?
    ");
}

#[test]
fn a_wrong_key_at_the_top() {
    insta::assert_snapshot!(problems(&TWO_ARMS.replace("seeds = 2", "seed = 2"), &[]), @"
    problem 1 of 2: experiments/test.toml:3:1
      |
    3 | seed = 2
      | ^^^^
    unknown key `seed`

    hint: did you mean `seeds`?

    problem 2 of 2: `seeds` is missing in `experiments/test.toml`

    hint: write a number of seeds (`seeds = 3` is 0, 1, 2) or list them (`seeds = [0, 7]`)
    ");
}

#[test]
fn a_wrong_type_and_a_value_out_of_range_in_different_tables() {
    let text = TWO_ARMS
        .replace("beta = 0.1", "beta = -0.1")
        .replace("budget.updates = 4", "budget.updates = \"many\"");
    insta::assert_snapshot!(problems(&text, &[]), @r#"
    problem 1 of 2: experiments/test.toml:9:18
      |
    9 | budget.updates = "many"
      |                  ^^^^^^
    `budget.updates`: expected a whole number, found the text "many"

    problem 2 of 2: experiments/test.toml:14:41
       |
    14 | method.dpo = { objective.dpo = { beta = -0.1 } }
       |                                         ^^^^
    `method.dpo.objective.dpo.beta`: expected a number above 0, found -0.1
    "#);
}

#[test]
fn a_part_of_a_named_model() {
    let shape =
        "{ width = 16, layers = 1, heads = 2, kv_heads = 1, feedforward = 32, context = 128 }";
    let text = TWO_ARMS.replace(shape, "\"tiny\"");
    insta::assert_snapshot!(problems(&text, &["model.context=512"]), @r"
    --set:1:1
      |
    1 | model.context=512
      | ^^^^^^^^^^^^^
    `model` is `tiny`, and a named model cannot be changed in part

    hint: give the whole shape: `--set 'model={ width = 96, layers = 3, heads = 4, kv_heads = 2, feedforward = 256, context = 512 }'`
    ");
    let said = problems(&TWO_ARMS.replace(shape, "{ context = 128 }"), &[]);
    assert!(said.contains("`width` is missing in `model`"), "{said}");
    assert!(
        said.contains("a model that is named elsewhere cannot be changed in part"),
        "{said}"
    );
}

#[test]
fn an_override_out_of_range() {
    insta::assert_snapshot!(problems(TWO_ARMS, &["sft.epochs=0", "preferences.candidate=4"]), @"
    problem 1 of 2: --set:1:12
      |
    1 | sft.epochs=0
      |            ^
    `sft.epochs`: expected a whole number above 0, found 0

    problem 2 of 2: --set:1:1
      |
    1 | preferences.candidate=4
      | ^^^^^^^^^^^^^^^^^^^^^
    unknown key `candidate`

    hint: did you mean `candidates`?
    ");
}

#[test]
fn arms_that_are_not_matched() {
    let text = TWO_ARMS.replace("[arms.dpo]", "[arms.dpo]\nbudget.updates = 8");
    insta::assert_snapshot!(problems(&text, &[]), @"
    experiments/test.toml:14:8
       |
    14 | budget.updates = 8
       |        ^^^^^^^
    arm `dpo` sets `budget.updates`, which is not listed in `varies`

    hint: list `budget.updates` in `varies` if the comparison is about it; otherwise move it to `[base]`
    ");
}

#[test]
fn an_arm_that_does_not_set_a_varied_key() {
    let text = TWO_ARMS.replace(
        "varies = [\"method\"]",
        "varies = [\"method\", \"reward.epochs\"]",
    );
    insta::assert_snapshot!(problems(&text, &[]), @r#"
    problem 1 of 2: experiments/test.toml:4:21
      |
    4 | varies = ["method", "reward.epochs"]
      |                     ^^^^^^^^^^^^^^^
    arm `ppo` does not set `reward.epochs`, which is listed in `varies`

    hint: set `reward.epochs` in `[arms.ppo]`, even if to the value of another arm

    problem 2 of 2: experiments/test.toml:4:21
      |
    4 | varies = ["method", "reward.epochs"]
      |                     ^^^^^^^^^^^^^^^
    arm `dpo` does not set `reward.epochs`, which is listed in `varies`

    hint: set `reward.epochs` in `[arms.dpo]`, even if to the value of another arm
    "#);
}

#[test]
fn an_override_that_arms_hide() {
    let text = TWO_ARMS.replace(
        "budget.updates = 4",
        "budget.updates = 4\nmethod.dpo.objective.dpo.beta = 0.3",
    );
    insta::assert_snapshot!(problems(&text, &["method.dpo.objective.dpo.beta=0.2"]), @"
    --set:1:1
      |
    1 | method.dpo.objective.dpo.beta=0.2
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    arm `dpo` sets `method.dpo.objective.dpo.beta` itself, so this would change nothing there

    hint: write `--set arms.dpo.method.dpo.objective.dpo.beta=0.2`
    ");
}

#[test]
fn a_missing_file() {
    let poems = "task.verse.source.poems={ poems = \"nowhere/poems.jsonl.gz\", characters = \"nowhere/table.tsv\" }";
    insta::assert_snapshot!(problems(TWO_ARMS, &[poems]), @r#"
    problem 1 of 2: --set:1:25
      |
    1 | task.verse.source.poems={ poems = "nowhere/poems.jsonl.gz", characters = "nowhere/table.tsv" }
      |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    there is no file `nowhere/poems.jsonl.gz`

    hint: paths are relative to the current directory; give another with `--set task.verse.source.poems.poems=PATH`

    problem 2 of 2: --set:1:25
      |
    1 | task.verse.source.poems={ poems = "nowhere/poems.jsonl.gz", characters = "nowhere/table.tsv" }
      |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    there is no file `nowhere/table.tsv`

    hint: paths are relative to the current directory; give another with `--set task.verse.source.poems.characters=PATH`
    "#);
}

#[test]
fn a_model_that_is_not_there() {
    insta::assert_snapshot!(problems(TWO_ARMS, &["model=gigantic"]), @"
    --set:1:7
      |
    1 | model=gigantic
      |       ^^^^^^^^
    there is no model `gigantic`

    hint: name a file of `configs/model/` (small, tiny), give a checkpoint directory, or write the shape in place
    ");
}

#[test]
fn a_shape_that_does_not_divide() {
    insta::assert_snapshot!(problems(&TWO_ARMS.replace("kv_heads = 1", "kv_heads = 3"), &[]), @"
    experiments/test.toml:8:9
      |
    8 | model = { width = 16, layers = 1, heads = 2, kv_heads = 3, feedforward = 32, context = 128 }
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    `heads` (2) is not a multiple of `kv_heads` (3)

    hint: widths and heads must divide one another: such as `width = 128, heads = 4, kv_heads = 2`
    ");
}

#[test]
fn names_that_cannot_be_directories() {
    let text = TWO_ARMS
        .replace("[arms.dpo]", "[arms.\"a/b\"]")
        .replace("[arms.ppo]", "[arms.stages]");
    insta::assert_snapshot!(problems(&text, &[]), @r#"
    problem 1 of 2: experiments/test.toml:11:7
       |
    11 | [arms.stages]
       |       ^^^^^^
    `stages` cannot be the name of an arm: the store has a directory of that name

    hint: an arm's name is a directory: use a-z, 0-9, `.`, `_` and `-`

    problem 2 of 2: experiments/test.toml:13:7
       |
    13 | [arms."a/b"]
       |       ^^^^^
    `a/b` cannot be the name of an arm: it has other characters

    hint: an arm's name is a directory: use a-z, 0-9, `.`, `_` and `-`
    "#);
}

#[test]
fn an_arm_with_the_name_of_the_start() {
    insta::assert_snapshot!(problems(&TWO_ARMS.replace("[arms.dpo]", "[arms.sft]"), &[]), @"
    experiments/test.toml:13:7
       |
    13 | [arms.sft]
       |       ^^^
    an arm that trains cannot be called `sft`: the start of all arms is

    hint: rename the arm, or give it `method.sft = {}` if it is meant to be the start
    ");
}

#[test]
fn an_ablation_whose_labels_are_equal() {
    let grid = "[ablate]\narm = \"dpo\"\ngrid = { \"method.dpo.batch_size\" = [8, 8] }\n";
    insta::assert_snapshot!(problems(&format!("{TWO_ARMS}{grid}"), &[]), @r#"
    experiments/test.toml:17:40
       |
    17 | grid = { "method.dpo.batch_size" = [8, 8] }
       |                                        ^
    `method.dpo.batch_size` lists 8 twice

    hint: list each value once
    "#);
    let grid = "[ablate]\narm = \"dpo\"\ngrid = { \"method.dpo.objective\" = [{ ipo.eta = 1 }, { ipo = { eta = 1 } }] }\n";
    insta::assert_snapshot!(problems(&format!("{TWO_ARMS}{grid}"), &[]), @r#"
    experiments/test.toml:17:53
       |
    17 | grid = { "method.dpo.objective" = [{ ipo.eta = 1 }, { ipo = { eta = 1 } }] }
       |                                                     ^^^^^^^^^^^^^^^^^^^^^
    `method.dpo.objective` lists { ipo = { eta = 1 } } twice

    hint: list each value once
    "#);
}

#[test]
fn an_ablation_of_nothing_or_too_much() {
    let grid = "[ablate]\narm = \"dpp\"\ngrid = { \"method.dpo.batch_size\" = [] }\n";
    insta::assert_snapshot!(problems(&format!("{TWO_ARMS}{grid}"), &[]), @r#"
    problem 1 of 2: experiments/test.toml:16:7
       |
    16 | arm = "dpp"
       |       ^^^^^
    `ablate.arm`: there is no arm `dpp`

    hint: the arms are: ppo, dpo

    problem 2 of 2: experiments/test.toml:17:36
       |
    17 | grid = { "method.dpo.batch_size" = [] }
       |                                    ^^
    `method.dpo.batch_size`: expected at least one value

    hint: list some
    "#);
    let grid = "[ablate]\narm = \"dpo\"\ngrid = { a = [1], b = [2], c = [3] }\n";
    insta::assert_snapshot!(problems(&format!("{TWO_ARMS}{grid}"), &[]), @"
    experiments/test.toml:17:8
       |
    17 | grid = { a = [1], b = [2], c = [3] }
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    `ablate.grid`: expected one or two keys, found 3

    hint: write one experiment file for each further key
    ");
}

#[test]
fn a_budget_that_never_ends() {
    insta::assert_snapshot!(problems(TWO_ARMS, &["budget.generated-tokens=1000"]), @"
    experiments/test.toml:9:1
      |
    9 | budget.updates = 4
      | ^^^^^^
    `budget.generated-tokens` would never end `method.dpo`, which samples nothing while it trains

    hint: match arms on `budget.updates`, `budget.trained-tokens` or `budget.flops`
    ");
}

#[test]
fn a_file_that_is_not_toml() {
    insta::assert_snapshot!(problems("question = \"Why?\nseeds = = 3\n", &[]), @r#"
    problem 1 of 3: experiments/test.toml:1:17
      |
    1 | question = "Why?
      |                 ^
    invalid basic string, expected `"`

    problem 2 of 3: experiments/test.toml:2:9
      |
    2 | seeds = = 3
      |         ^
    extra `=`, expected nothing

    problem 3 of 3: experiments/test.toml:2:11
      |
    2 | seeds = = 3
      |           ^
    unexpected key or value, expected newline, `#`
    "#);
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(problems("", &[]), @r#"
    problem 1 of 4: `question` is missing in `experiments/test.toml`

    hint: write what the comparison is to answer: `question = "Does ...?"`

    problem 2 of 4: `seeds` is missing in `experiments/test.toml`

    hint: write a number of seeds (`seeds = 3` is 0, 1, 2) or list them (`seeds = [0, 7]`)

    problem 3 of 4: `[base]` is missing in `experiments/test.toml`

    hint: write `[base]`: it holds the settings that all arms share

    problem 4 of 4: `[arms]` is missing in `experiments/test.toml`

    hint: write `[arms]`: one table for each arm, such as `[arms.dpo]`
    "#);
}

#[test]
fn seeds_twice_and_a_baseline_that_is_no_arm() {
    let text = TWO_ARMS.replace("seeds = 2", "seeds = [1, 1]\nbaseline = \"dpp\"");
    insta::assert_snapshot!(problems(&text, &[]), @"
    experiments/test.toml:3:13
      |
    3 | seeds = [1, 1]
      |             ^
    `seeds` lists 1 twice

    hint: list each seed once
    ");
}

#[test]
fn a_baseline_that_is_no_arm() {
    insta::assert_snapshot!(problems(TWO_ARMS, &["baseline=dpp"]), @"
    --set:1:10
      |
    1 | baseline=dpp
      |          ^^^
    `baseline`: there is no arm `dpp`

    hint: the arms are: sft, ppo, dpo
    ");
}

#[test]
fn a_file_that_is_not_there() {
    let error = preflab_experiment::Spec::load("nowhere.toml".as_ref(), &[]).unwrap_err();
    insta::assert_snapshot!(error, @"
    could not read `nowhere.toml`: No such file or directory (os error 2)

    hint: experiment files are in `experiments/`; paths are relative to the current directory
    ");
}
