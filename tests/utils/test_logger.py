import logging

from segsuite.utils.logger import setup_logger


def test_console_and_file(tmp_path, capsys):
    setup_logger(tmp_path / "log.txt", name="toy")
    logging.getLogger("toy.part").info("hello %d", 3)
    logging.getLogger("toy.part").warning("careful")
    out = capsys.readouterr().out
    assert "toy.part] hello 3" in out and "WARNING careful" in out
    text = (tmp_path / "log.txt").read_text()
    assert "INFO: hello 3" in text and "WARNING: careful" in text
    assert "\x1b[" not in text


def test_again_replaces_handlers(tmp_path, capsys):
    for _ in range(3):
        logger = setup_logger(tmp_path / "log.txt", name="toy")
    logger.info("once")
    assert capsys.readouterr().out.count("once") == 1
    assert (tmp_path / "log.txt").read_text().count("once") == 1


def test_other_ranks_write_their_own_file_only(tmp_path, capsys):
    logger = setup_logger(tmp_path / "log.rank2.txt", rank=2, name="toy")
    logger.info("from two")
    assert capsys.readouterr().out == ""
    assert "from two" in (tmp_path / "log.rank2.txt").read_text()
