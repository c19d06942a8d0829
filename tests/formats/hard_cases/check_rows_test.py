#!/usr/bin/env python3
"""Shows that check_rows.py sees the rows that tests name, and what is wrong with them."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_rows


class CheckRowsTest(unittest.TestCase):
    def test_tables_and_comments_name_rows(self):
        text = '{"A1", x}, {"B37 count", y}, {"A23b", z},\n// rows C1, D22: why\n  // row E5'
        self.assertEqual(check_rows.rows_of_source(text, True),
                         {"A1", "B37", "A23", "C1", "D22", "E5"})

    def test_words_that_look_like_rows_are_none(self):
        text = 'Info("F16"), "F8_E8M0", {"F32_x"}, {"BF16"}, "A1", row A2, // see B3'
        self.assertEqual(check_rows.rows_of_source(text, True), set())

    def test_tables_count_in_c_plus_plus_only(self):
        self.assertEqual(check_rows.rows_of_source('{"A1": 2}  # row A2', False), {"A2"})

    def test_only_the_list_of_what_is_not_tested_counts(self):
        text = ("| A1 | before |\n## Not tested\n| row | why |\n|---|---|\n| A2 | reason |\n"
                "## Answered otherwise\n| A3 | other |\n")
        self.assertEqual(check_rows.listed_rows(text), {"A2": "reason"})

    def test_a_row_is_in_exactly_one_place(self):
        rows = check_rows.all_rows()
        self.assertEqual(len(rows), 380)
        tested = {row: ["a_test.cc"] for row in rows if row != "A1"}
        self.assertEqual(check_rows.faults(tested, {"A1": "why"}), [])
        self.assertEqual(check_rows.faults(tested, {}), ["A1 is neither tested nor listed"])
        self.assertEqual(check_rows.faults(tested, {"A1": "why", "A2": "why"}),
                         ["A2 is listed as not tested, and tested in a_test.cc"])
        self.assertEqual(check_rows.faults(tested, {"A1": "why", "A66": "why"}),
                         ["A66 is listed and no row of the catalogue"])


if __name__ == "__main__":
    unittest.main()
