"""Annotations of every layout become the same corpus, and what is wrong in a file is listed with file and item."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from action_localization.data.corpus import Instant
from action_localization.data.layouts import read_corpus
from action_localization.data.lists import read_class_splits, read_classes
from action_localization.data.options import ReadOptions
from laban.errors import LabanError

TRUTH = {"a": [("run", 1.0, 2.0), ("jump", 3.0, 4.5)], "b": [("run", 0.0, 2.0)]}


def database(**extra):
    return {
        "database": {
            name: {
                "subset": "training" if name == "a" else "validation",
                "duration": 10.0,
                "annotations": [{"label": label, "segment": [start, end]} for label, start, end in rows],
            }
            | extra
            for name, rows in TRUTH.items()
        }
    }


def write(path: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def triples(corpus):
    return {
        name: [(s.label, pytest.approx(s.start), pytest.approx(s.end)) for s in video.timeline.segments]
        for name, video in corpus.videos.items()
    }


# ----------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize("name", ["truth.json", "truth.json.gz"])
def test_the_activitynet_layout(tmp_path, name):
    corpus = read_corpus(write(tmp_path / name, database(fps=25)))
    assert triples(corpus) == TRUTH
    assert corpus.classes == ("jump", "run") and corpus.splits() == {"training": 1, "validation": 1}
    assert (corpus.videos["a"].duration, corpus.videos["a"].fps) == (10.0, 25.0)
    assert list(corpus.part("Validation").videos) == ["b"]
    assert corpus.problems == () and "2 videos" in corpus.report()
    with pytest.raises(LabanError, match="no split 'test'; accepted: 'training', 'validation'"):
        corpus.part("test")
    with pytest.raises(AttributeError):
        corpus.name = "other"


def test_an_entry_that_is_no_video_hides_neither_the_layout_nor_the_others(tmp_path):
    good = {"subset": None, "duration": 10, "annotations": [{"segment": [0, 1], "label": "x"}]}
    for entries in ({"a": good, "b": "oops"}, {"b": "oops", "a": good}):
        corpus = read_corpus(write(tmp_path / "truth.json", {"database": entries}))
        assert triples(corpus) == {"a": [("x", 0.0, 1.0)]}
        assert [problem.item for problem in corpus.problems] == ["b"]
        assert corpus.videos["a"].split == ""


def test_a_file_without_videos_says_so(tmp_path):
    with pytest.raises(LabanError, match=r"truth\.json: holds no video"):
        read_corpus(write(tmp_path / "truth.json", {"database": {}}))


def test_a_bare_object_and_numbered_classes(tmp_path):
    document = database()["database"]
    for video in document.values():
        for annotation in video["annotations"]:
            annotation["label_id"] = {"run": 0, "jump": 1}[annotation["label"]]
    corpus = read_corpus(write(tmp_path / "truth.json", document))
    assert triples(corpus) == TRUTH and corpus.classes == ("run", "jump")


def test_bmn_activitynet_takes_its_subsets_from_the_table_beside_it(tmp_path):
    video = {"duration_second": 10.0, "duration_frame": 250, "annotations": [{"segment": [1, 2], "label": "run"}]}
    path = write(tmp_path / "anet.json", {"v_0123456789a": video, "v_0123456789b": video})
    assert read_corpus(path).splits() == {"": 2}
    write(tmp_path / "video_info_new.csv", "video,subset\nv_0123456789a,training\nv_0123456789b,testing\n")
    corpus = read_corpus(path)
    assert corpus.splits() == {"training": 1, "testing": 1}
    assert list(corpus.videos) == ["0123456789a", "0123456789b"]


def test_fineaction_ids_keep_their_prefix(tmp_path):
    entry = {"filename": "v_00000001.mp4", "subset": "training", "duration": 9, "annotations": []}
    assert list(read_corpus(write(tmp_path / "f.json", {"database": {"v_00000001": entry}})).videos) == ["v_00000001"]


def test_ego4d_clips_in_both_forms(tmp_path):
    labels = [
        {"start_time": 1, "end_time": 2, "label": "wash_hands", "primary": True},
        {"start_time": 1, "end_time": 5, "label": "other", "primary": False},
    ]
    clip = {"clip_uid": "c1", "video_start_sec": 100, "video_end_sec": 580, "annotations": [{"labels": labels}]}
    official = {"version": "1", "split": "val", "videos": [{"video_uid": "x", "split": "val", "clips": [clip]}]}
    corpus = read_corpus(write(tmp_path / "moments_val.json", official))
    assert triples(corpus) == {"c1": [("wash_hands", 1, 2)]}
    assert (corpus.videos["c1"].duration, corpus.videos["c1"].split) == (480, "val")
    flat = {"c1": {"parent_start_sec": 100, "parent_end_sec": 580, "subset": "val", "annotations": labels[:1]}}
    assert read_corpus(write(tmp_path / "clips.json", flat)).videos == corpus.videos


def test_thumos14_tables_kit_and_folder_agree(tmp_path):
    kit = {"BaseballPitch": [["video_test_0000324", 49.2, 53.5]], "Ambiguous": [["video_test_0000324", 60.0, 61.0]]}
    first = read_corpus(write(tmp_path / "kit.json", kit))
    named = "video,type,type_idx,start,end,startFrame,endFrame\n"
    named += "video_test_0000324,BaseballPitch,7,49.2,53.5,1,2\nvideo_test_0000324,Ambiguous,0,60.0,61.0,1,2\n"
    second = read_corpus(write(tmp_path / "test.csv", named))
    numbered = "video-name,t-init,t-end,f-init,f-end,video-duration,frame-rate,video-frames,label-idx\n"
    numbered += "video_test_0000324,49.2,53.5,1,2,100.0,30.0,3000,0\nvideo_test_0000324,60,61,1,2,100.0,30.0,3000,-1\n"
    third = read_corpus(write(tmp_path / "truth.csv", numbered))
    for label, rows in kit.items():
        write(tmp_path / "kit" / f"{label}_test.txt", "".join(f"{v}  {s:.1f} {e:.1f}\n" for v, s, e in rows))
    fourth = read_corpus(tmp_path / "kit")
    for corpus in (first, second, third, fourth):
        video = corpus.videos["video_test_0000324"]
        assert triples(corpus) == {"video_test_0000324": [("BaseballPitch", 49.2, 53.5)]}
        assert [(s.start, s.end) for s in video.ignored.segments] == [(60.0, 61.0)]
        assert video.split == "test" and len(corpus.classes) == 20
        assert corpus.instances().labels == ("BaseballPitch", "Ambiguous")
    assert (third.videos["video_test_0000324"].duration, third.videos["video_test_0000324"].fps) == (100.0, 30.0)


def test_dense_actions_by_number(tmp_path):
    multi = {"video_test_0000001": {"subset": "testing", "duration": 9, "actions": [[12, 1, 2], [23, 3, 4]]}}
    corpus = read_corpus(write(tmp_path / "multithumos.json", multi))
    assert triples(corpus) == {"video_test_0000001": [("HighJump", 1, 2), ("class 23", 3, 4)]}
    assert len(corpus.classes) == 23
    dense = {"AB": {"subset": "training", "duration": 9, "actions": [[1, 1, 2], [2, 3, 4]]}}
    path = write(tmp_path / "charades.json", dense)
    write(tmp_path / "Charades_v1_classes.txt", "c000 Holding clothes\nc001 Putting clothes\n")
    assert triples(read_corpus(path)) == {"AB": [("Putting clothes", 1, 2), ("class 2", 3, 4)]}
    strict = read_corpus(path, ReadOptions(classes=("x", "y")))
    assert [problem.item for problem in strict.problems] == ["AB.actions[1]"]


def test_charades_tables(tmp_path):
    write(tmp_path / "Charades_v1_classes.txt", "c000 Holding clothes\nc001 Putting clothes\n")
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
    line = 'AB,S,K,5,5,Yes,"a, b",,"c","c001 1.00 2.00;c000 0.00 9.50;c007 1 2",9.00\nCD,S,K,5,5,Yes,,,,,4.00\n'
    corpus = read_corpus(write(tmp_path / "Charades_v1_train.csv", header + line))
    assert triples(corpus) == {"AB": [("Holding clothes", 0, 9.5), ("Putting clothes", 1, 2)], "CD": []}
    assert corpus.videos["AB"].split == "train"
    assert [(p.item, "c007" in p.found) for p in corpus.problems] == [("line 2 (AB)", True)]


EPIC_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)


@pytest.mark.parametrize(
    ("task", "named", "plain"), [("action", "take plate", "0,2"), ("verb", "take", "0"), ("noun", "plate", "2")]
)
def test_epic_tables_with_and_without_names(tmp_path, task, named, plain):
    line = "P01_11_0,P01,P01_11,00:00:00.560,00:01:00.50,01:00:01.89,1,113,take plate,take,0,plate,2,['plate'],[2]\n"
    path = write(tmp_path / "EPIC_100_validation.csv", EPIC_HEADER + line)
    assert triples(read_corpus(path, ReadOptions(task=task))) == {"P01_11": [(plain, 60.5, 3601.89)]}
    write(tmp_path / "EPIC_100_verb_classes.csv", "id,key,instances,category\n0,take,\"['get']\",x\n")
    write(tmp_path / "EPIC_100_noun_classes_v2.csv", "id,key,instances,category\n0,tap,x,y\n1,pan,x,y\n2,plate,x,y\n")
    write(tmp_path / "EPIC_100_video_info.csv", "video_id,duration,fps,resolution\nP01_11,4000.5,59.94,1920x1080\n")
    corpus = read_corpus(path, ReadOptions(task=task))
    assert triples(corpus) == {"P01_11": [(named, 60.5, 3601.89)]}
    assert (corpus.videos["P01_11"].duration, corpus.videos["P01_11"].split) == (4000.5, "validation")
    bad = line.replace("take,0,plate", "take,7,plate").replace("P01_11_0", "P01_11_1")
    listed = read_corpus(write(path, EPIC_HEADER + line + bad), ReadOptions(task=task)).problems
    assert [problem.item for problem in listed] == ([] if task == "noun" and not listed else ["line 3 (P01_11_1)"])


def test_rulstm_tables_count_frames(tmp_path):
    write(tmp_path / "rulstm_actions.csv", "0, 0_0, Read recipe\n1, 1_1, Open fridge\n")
    path = write(tmp_path / "rulstm_training1.csv", "2,P07,30,60,1,1,1\n7,P15,15,30,0,0,0\n")
    corpus = read_corpus(path)
    assert triples(corpus) == {"P07": [("Open fridge", 1, 2)], "P15": [("Read recipe", 0.5, 1)]}
    assert corpus.classes == ("Read recipe", "Open fridge") and corpus.splits() == {"training": 2}
    assert triples(read_corpus(path, ReadOptions(task="verb", fps=60)))["P07"] == [("1", 0.5, 1)]


def test_egtea_splits_by_fold(tmp_path):
    document = database() | {"subset_by_split": {"1": {"a": "train", "b": "test"}, "2": {"a": "test", "b": "train"}}}
    path = write(tmp_path / "egtea.json", document)
    assert read_corpus(path).videos["a"].split == "train"
    assert read_corpus(path, ReadOptions(fold=2)).videos["a"].split == "test"
    with pytest.raises(LabanError, match="no fold 5; accepted: 1, 2"):
        read_corpus(path, ReadOptions(fold=5))


def test_frame_labels_in_one_file_and_in_folders(tmp_path):
    runs = {
        "fps": 15,
        "mapping": [["1", "SIL"], ["2", "pour"], ["3", "SOS"]],
        "splits": {"train.split1.bundle": ["a.txt"], "test.split1.bundle": ["b.txt"]},
        "videos": {"a": [["SIL", 15], ["pour", 30]], "b": [["SIL", 30]]},
    }
    one = read_corpus(write(tmp_path / "set.json", runs))
    folder = tmp_path / "gtea"
    write(folder / "mapping.txt", "0 SIL\n1 pour\n")
    write(folder / "splits" / "train.split1.bundle", "a.txt\n")
    write(folder / "splits" / "test.split1.bundle", "b.txt\n")
    write(folder / "groundTruth" / "a.txt", "SIL\n" * 15 + "pour\n" * 30)
    write(folder / "groundTruth" / "b.txt", "SIL\n" * 30)
    several = read_corpus(folder)
    assert one.videos == several.videos and one.classes == several.classes == ("SIL", "pour")
    assert triples(one) == {"a": [("SIL", 0, 1), ("pour", 1, 3)], "b": [("SIL", 0, 2)]}
    assert one.videos["a"].fps == 15 and one.videos["b"].split == "test"
    results = {"a": {"gt": [[0, 2], [3, 4]], "pred": [[0, 6]]}}
    assert triples(read_corpus(write(tmp_path / "r.json", results))) == {"a": [("class 0", 0, 2), ("class 3", 2, 6)]}


def test_sentences(tmp_path):
    captions = {"v_0123456789a": {"duration": 9.0, "timestamps": [[0, 3]], "sentences": ["A man  runs."]}}
    corpus = read_corpus(write(tmp_path / "captions_train.json", captions))
    assert triples(corpus) == {"0123456789a": [("A man runs.", 0, 3)]} and corpus.classes == ()
    frames = {"s1.avi": {"timestamps": [[30, 60]], "sentences": ["He cuts."], "fps": 30.0, "num_frames": 300}}
    corpus = read_corpus(write(tmp_path / "test.json", frames))
    assert triples(corpus) == {"s1.avi": [("He cuts.", 1, 2)]} and corpus.videos["s1.avi"].duration == 10
    sta = read_corpus(write(tmp_path / "charades_sta_test.txt", "3MSZA 24.3 30.4##person turn a light on.\n"))
    assert triples(sta) == {"3MSZA": [("person turn a light on.", 24.3, 30.4)]}
    query = {"qid": 1, "query": "a dog", "vid": "x", "duration": 150, "relevant_windows": [[0, 2], [4, 8]]}
    jsonl = read_corpus(write(tmp_path / "highlight_val.jsonl", json.dumps(query) + "\n"))
    assert triples(jsonl) == {"x": [("a dog", 0, 2), ("a dog", 4, 8)]}
    with pytest.raises(LabanError, match="jsonl:1: holds answers"):
        read_corpus(write(tmp_path / "p.jsonl", json.dumps(query | {"pred_relevant_windows": []})))


def test_steps_of_procedures(tmp_path):
    coin = {"x": {"annotation": [[5, 1.0, 2.0, "cut"]], "duration": 9, "subset": "testing"}}
    assert triples(read_corpus(write(tmp_path / "coin.json", coin))) == {"x": [("cut", 1, 2)]}
    steps = [{"task": "7", "vid": "x", "steps": [[1, 2, 0], [3, 4, 1]]}]
    path = write(tmp_path / "crosstask_test_steps.json", steps)
    assert triples(read_corpus(path)) == {"x": [("7 step 0", 1, 2), ("7 step 1", 3, 4)]}
    write(tmp_path / "crosstask_cls_step.json", {"7": {"step_name": {"0": "pour", "1": "stir"}}})
    assert triples(read_corpus(path)) == {"x": [("pour", 1, 2), ("stir", 3, 4)]}
    niv = {"action_ids": {"A": 0}, "splits_pdpp": {"train": ["x"]}, "videos": {"x": [["A", 1, 2], ["B", 1, 2]]}}
    corpus = read_corpus(write(tmp_path / "niv.json", niv))
    assert triples(corpus) == {"x": [("A", 1, 2)]} and "label 'B' is unknown" in str(corpus.problems[0])


def test_events_repetitions_and_points(tmp_path):
    ave = read_corpus(write(tmp_path / "ave.txt", "Church bell&x&good&0&10\n"))
    assert triples(ave) == {"x": [("Church bell", 0, 10)]}
    avvp = read_corpus(write(tmp_path / "AVVP_train.csv", "filename\tevent_labels\nx\tSpeech,Dog\n"))
    assert triples(avvp) == {"x": [("Dog", 0, 10), ("Speech", 0, 10)]}
    head = "video_id,class,kinetics_start,kinetics_end,repetition_start,repetition_end,count\n"
    countix = read_corpus(write(tmp_path / "countix_val.csv", head + "x,rowing,17,27,18.5,20.2,4\n"))
    assert triples(countix) == {"x": [("rowing", 18.5, 20.2)]} and countix.splits() == {"val": 1}
    table = ",type,name,count,L1,L2,L3,L4,L5\n0,pullups,x.mp4,2,30,60,60.0,90.0,\n"
    repcount = read_corpus(write(tmp_path / "repcount_train.csv", table))
    assert triples(repcount) == {"x.mp4": [("pull_up", 1, 2), ("pull_up", 2, 3)]}
    ends = read_corpus(write(tmp_path / "ends.json", {"quva": {"x": [30, 60]}}))
    assert ends.videos["x"].instants == (Instant(1.0, "cycle end"), Instant(2.0, "cycle end"))
    points = {"annotator_1": [["x", 1.5, "take"]], "annotator_2": [["x", 1.7, "take"]]}
    path = write(tmp_path / "points.json", points)
    assert read_corpus(path, ReadOptions(fold=2)).videos["x"].instants == (Instant(1.7, "take"),)


def test_own_tables(tmp_path):
    text = "timeline,start,end,label\na,1,2,run\na,3,4.5,jump\nb,0,2,run\n"
    assert triples(read_corpus(write(tmp_path / "own.csv", text))) == TRUTH


def test_every_bad_row_of_an_own_table_is_listed(tmp_path):
    text = "timeline,start,end,label\na,1,2,run\na,5,4,run\na,3,4.5,jump\nb,x,2,run\nb,0,2,run\n"
    path = write(tmp_path / "own.csv", text)
    corpus = read_corpus(path)
    assert triples(corpus) == TRUTH
    assert [(p.item, p.dropped) for p in corpus.problems] == [("line 3", True), ("line 5", True)]
    assert "end 4 is not after start 5" in corpus.problems[0].found and "'x'" in corpus.problems[1].found
    with pytest.raises(LabanError, match=r"own\.csv: 2 of 5 annotations are unusable"):
        read_corpus(path, ReadOptions(strict=True))
    with pytest.raises(LabanError, match="1 of 1 annotations are unusable"):
        read_corpus(write(tmp_path / "none.csv", "start,end,label\n2,1,run\n"))


def test_lists_of_classes_and_their_splits(tmp_path):
    assert read_classes(write(tmp_path / "a.txt", "7 BaseballPitch\n9 BasketballDunk\n")) == (
        "BaseballPitch",
        "BasketballDunk",
    )
    assert read_classes(write(tmp_path / "b.csv", "action\nArm wrestling\nBMX\n")) == ("Arm wrestling", "BMX")
    assert read_classes(write(tmp_path / "c.txt", "c000 Holding clothes\nc001 cut it\n")) == (
        "Holding clothes",
        "cut it",
    )
    with pytest.raises(LabanError, match="'x' twice"):
        read_classes(write(tmp_path / "d.txt", "x\nx\n"))
    splits = read_class_splits(write(tmp_path / "s.json", {"THUMOS14/50_50": {"0": {"train": ["a"], "test": ["b"]}}}))
    assert splits["THUMOS14/50_50"]["0"].test == ("b",)
    with pytest.raises(LabanError, match="no class splits"):
        read_class_splits(write(tmp_path / "e.json", {"x": {"0": {"train": []}}}))


# --------------------------------------------------------------------------------------------------------- bad input


def test_unusable_annotations_are_left_out_and_listed(tmp_path):
    document = database()
    bad = [
        {"label": "run", "segment": [5, 4]},
        {"label": "fly", "segment": [1, 2]},
        {"label": "run", "segment": [float("nan"), 2]},
        {"label": "run", "segment": [1]},
        {"label": "run", "segment": ["x", 2]},
        {"label": 3, "segment": [1, 2]},
        {"segment": [1, 2]},
        {"label": "run", "segment": [-2, -1]},
        7,
    ]
    document["database"]["b"]["annotations"] += bad
    path = write(tmp_path / "bad.json", document)
    corpus = read_corpus(path, ReadOptions(classes=("run", "jump")))
    assert triples(corpus) == TRUTH and corpus.classes == ("run", "jump")
    assert [problem.item for problem in corpus.problems] == [f"b.annotations[{i}]" for i in range(1, 10)]
    assert all(problem.file == str(path) and problem.dropped for problem in corpus.problems)
    found = [problem.found for problem in corpus.problems]
    assert "end 4 is not after start 5" in found[0] and "'fly' is unknown" in found[1] and "nan" in found[2]
    assert "b.annotations[1]: end 4 is not after start 5" in corpus.report()
    with pytest.raises(LabanError, match=r"bad\.json: 9 of 12 annotations are unusable"):
        read_corpus(path, ReadOptions(classes=("run", "jump"), strict=True))


def test_doubtful_annotations_are_kept_and_listed(tmp_path):
    document = database()
    document["database"]["a"]["annotations"] = [
        {"label": "run", "segment": [4, 4]},
        {"label": "run", "segment": [-0.5, 2]},
        {"label": "run", "segment": [8, 12]},
    ]
    corpus = read_corpus(write(tmp_path / "doubtful.json", document))
    video = corpus.videos["a"]
    assert [(s.start, s.end) for s in video.timeline.segments] == [(0, 2), (8, 12)]
    assert video.instants == (Instant(4.0, "run"),) and video.duration == 10
    assert not any(problem.dropped for problem in corpus.problems) and len(corpus.problems) == 3
    assert "1 of 2 segments end after it, the last at 12 s (kept)" in corpus.report()
    kept = corpus.instances()
    assert sorted(zip(kept.start.tolist(), kept.end.tolist(), strict=True)) == [(0, 2), (0, 2), (4, 4), (8, 12)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "is not JSON"),
        ("a.json", {}, "no known layout"),
        ("a.json", [1, 2], "a list, no known layout"),
        ("a.json", {"results": {"v": []}}, "holds detections"),
        ("a.json", {"database": {"v": {"annotations": [{"label": "x", "segment": [2, 1]}]}}}, "1 of 1 annotations"),
        ("a.json", {"videos": [{"clips": [7]}]}, "does not keep to its layout"),
        ("a.json.gz", "not gzip", "cannot be unpacked"),
        ("a.npz", "x", "unknown annotation suffix"),
        ("a.csv", "narration_id,video_id\n1,2\n", "no column 'start_timestamp'"),
        ("a.csv", "video,type,type_idx,start,end\nx\n", "a.csv:2: found 1 cells; accepted: 5"),
        ("a.txt", "x 1 2##run\ny 1##run\n", "a.txt:2"),
        ("a.jsonl", '{"qid": 1}\n', "a.jsonl:1"),
    ],
)
def test_files_of_no_use_are_answered_with_the_place(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(LabanError, match=message):
        read_corpus(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(LabanError, match="cannot be read"):
        read_corpus(tmp_path / "none.json")
    with pytest.raises(LabanError, match="cannot be unpacked"):
        read_corpus(tmp_path / "none.json.gz")
    with pytest.raises(LabanError, match="folder of no known layout"):
        read_corpus(tmp_path)


# --------------------------------------------------------------------------------------------------------- real files

COUNTS = {  # videos, segments, moments, ambiguous, classes, left out
    "thumos14/thumos14_actionformer.json.gz": (412, 6365, 0, 0, 20, 0),
    "thumos14/thumos14_oat.json.gz": (412, 6365, 0, 0, 20, 0),
    "thumos14/test_Annotation.csv.gz": (213, 3358, 0, 99, 20, 0),
    "thumos14/val_Annotation.csv.gz": (200, 3007, 0, 89, 20, 0),
    "thumos14/thumos14_test_groundtruth.csv.gz": (213, 3358, 0, 99, 20, 0),
    "thumos14/evalkit_test_annotation.json": (213, 3358, 0, 99, 20, 0),
    "thumos14/multithumos.json.gz": (413, 38683, 7, 0, 65, 0),
    "thumos14/single_frame_labels.json.gz": (200, 0, 2980, 0, 20, 0),
    "activitynet/anet_anno_action.json.gz": (19228, 22140, 12, 0, 200, 0),
    "epic100/EPIC_100_validation.csv.gz": (138, 9668, 0, 0, 1352, 0),
    "epic100/rulstm_validation.csv.gz": (138, 9668, 0, 0, 3806, 0),
    "egtea/egtea_hat.json.gz": (86, 15484, 0, 0, 22, 0),
    "egtea/rulstm_validation1.csv.gz": (65, 2022, 0, 0, 106, 0),
    "gtea_beoid/gtea_groundtruth.json": (28, 497, 0, 0, 7, 0),
    "gtea_beoid/beoid_groundtruth.json": (58, 742, 0, 0, 34, 0),
    "charades/charades.json.gz": (9848, 66493, 0, 0, 157, 7),
    "charades/Charades_v1_test.csv.gz": (1863, 16691, 0, 0, 157, 0),
    "charades/charades_sta_test.txt.gz": (1334, 3720, 0, 0, 0, 0),
    "segmentation/breakfast.json.gz": (1712, 11656, 0, 0, 48, 0),
    "segmentation/50salads.json.gz": (50, 999, 0, 0, 19, 0),
    "procedure/coin_test_30.json.gz": (3006, 11583, 0, 0, 734, 0),
    "procedure/crosstask_train_steps.json.gz": (1921, 14526, 0, 0, 105, 0),
    "procedure/niv.json": (148, 1318, 2, 0, 48, 0),
    "activitynet/captions_val_1.json.gz": (4917, 17505, 0, 0, 0, 0),
    "tacos/train.json.gz": (75, 9790, 0, 0, 0, 0),
    "qvhighlights/highlight_val_release.jsonl.gz": (1519, 2803, 0, 0, 0, 0),
    "repetition/repcount_open_set_valid.csv": (128, 832, 0, 0, 1, 0),
    "repetition/countix_val.csv.gz": (1253, 1433, 0, 0, 53, 0),
    "audiovisual/ave_annotations.txt.gz": (4097, 4142, 1, 0, 28, 0),
}

COUNTING = """
import json, sys
from action_localization.data.layouts import read_corpus
for path in sys.argv[1:]:
    corpus = read_corpus(path)
    videos = corpus.videos.values()
    counts = [len(videos), sum(len(v.timeline.segments) for v in videos), sum(len(v.instants) for v in videos),
              sum(len(v.ignored.segments) for v in videos), len(corpus.classes),
              sum(p.dropped for p in corpus.problems)]
    print(json.dumps([path, counts]))
"""


def count(paths: list[str]) -> dict[str, tuple[int, ...]]:
    """Counts of many files, in a process whose calls are not checked one by one."""
    command = [sys.executable, "-P", "-c", COUNTING, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {path: tuple(counts) for path, counts in map(json.loads, done.stdout.splitlines())}


@pytest.mark.data
@pytest.mark.slow
def test_the_files_at_hand_hold_what_their_readme_says(data_folder):
    folder = data_folder / "annotations"
    found = count([str(folder / name) for name in COUNTS])
    assert {str(Path(path).relative_to(folder)): counts for path, counts in found.items()} == COUNTS


@pytest.mark.data
def test_lists_at_hand(data_folder):
    folder = data_folder / "annotations"
    assert len(read_classes(folder / "activitynet" / "action_name.csv")) == 200
    assert len(read_classes(folder / "thumos14" / "evalkit_detclasslist.txt")) == 20
    assert len(read_classes(folder / "charades" / "Charades_v1_classes.txt")) == 157
    assert len(read_classes(folder / "epic100" / "EPIC_100_verb_classes.csv")) == 97
    splits = read_class_splits(folder / "zero_shot" / "open_set_localisation_splits.json.gz")
    assert {name: len(folds) for name, folds in splits.items()} == dict.fromkeys(splits, 10) and len(splits) == 4
