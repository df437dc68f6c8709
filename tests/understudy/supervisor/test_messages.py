from __future__ import annotations

import pytest

from understudy.supervisor.messages import Drain, Draining, Failed, Report, Reports, Stacks, Up, to_line, to_order


@pytest.mark.parametrize("report", [Up(), Draining("reload"), Stacks(), Failed(2, "two\nlines, and ünïcode")])
def test_a_report_arrives_as_it_was_sent_even_in_pieces(report: Report) -> None:
    reports = Reports()
    found = [said for byte in to_line(report) for said in reports.feed(bytes([byte]))]
    assert found == [report]


def test_several_reports_in_one_piece_arrive_in_order() -> None:
    assert Reports().feed(to_line(Up()) + to_line(Draining("a")) + b'{"type"') == [Up(), Draining("a")]


def test_what_is_no_report_is_passed_over() -> None:
    assert Reports().feed(b"a library wrote this\n" + to_line(Up())) == [Up()]


@pytest.mark.parametrize("order", [Drain("shutdown", 30.0), Drain("reload")])
def test_an_order_arrives_as_it_was_given(order: Drain) -> None:
    assert to_order(to_line(order)) == order
