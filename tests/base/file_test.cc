#include "storage/base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "storage/base/small_file.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string name = testing::TempDir() + "/ballast-file-XXXXXX";
    dir_ = mkdtemp(name.data());
  }
  ~FileTest() override { std::filesystem::remove_all(dir_); }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  void Put(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
  }
  std::string Get(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(Path(name), std::ios::binary).rdbuf();
    return text.str();
  }
  size_t FilesInFolder() const {
    const auto it = std::filesystem::directory_iterator(dir_);
    return static_cast<size_t>(std::distance(begin(it), end(it)));
  }

  std::string dir_;
};

TEST_F(FileTest, OpenFileReadsAtOffsets) {
  Put("f", "0123456789");
  const auto file = OpenFile(Path("f"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size_bytes(), 10u);
  std::string out(3, '?');
  ASSERT_TRUE((*file)->ReadAt(7, absl::MakeSpan(out)).ok());
  EXPECT_EQ(out, "789");
  EXPECT_EQ(GetReason((*file)->ReadAt(8, absl::MakeSpan(out))), Reason::kTruncated);
}

TEST_F(FileTest, OpenFileNamesWhatItRefuses) {
  const absl::Status absent = OpenFile(Path("absent")).status();
  EXPECT_EQ(absent.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(absent.message()), HasSubstr("absent"));
  const absl::Status folder = OpenFile(dir_).status();
  EXPECT_EQ(folder.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(folder.message()), HasSubstr("is a folder"));
}

TEST_F(FileTest, OpenFileDoesNotWaitOnAPipeWithoutWriter) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  const absl::Status status = OpenFile(Path("pipe")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not a regular file"));
}

TEST_F(FileTest, ReadingAFileThatShrankIsTruncated) {
  Put("f", std::string(1000, 'x'));
  const auto file = OpenFile(Path("f"));
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(Path("f"), 10);
  std::string out(100, '?');
  EXPECT_EQ(GetReason((*file)->ReadAt(0, absl::MakeSpan(out))), Reason::kTruncated);
}

TEST_F(FileTest, StreamAndSinkCarryBytesThroughAPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(SinkToFd(ends[1])->Write("through").ok());
  close(ends[1]);
  std::string out(20, '?');
  const auto stream = StreamFromFd(ends[0]);
  EXPECT_EQ(ReadFull(stream.get(), absl::MakeSpan(out)).value(), 7u);
  EXPECT_EQ(out.substr(0, 7), "through");
  close(ends[0]);
}

TEST_F(FileTest, SinkTellsAPipeThatNobodyReadsFromOtherFailures) {
  const auto before = signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const absl::Status status = SinkToFd(ends[1])->Write("x");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("writing the output: Broken pipe"));
  EXPECT_TRUE(IsBrokenPipe(WithContext(status, "pull")));
  close(ends[1]);
  EXPECT_FALSE(IsBrokenPipe(SinkToFd(ends[1])->Write("x")));
  EXPECT_FALSE(IsBrokenPipe(absl::OkStatus()));
  signal(SIGPIPE, before);
}

TEST_F(FileTest, SinkSaysThatTheDiskIsFull) {
  const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (fd < 0) GTEST_SKIP() << "no /dev/full here";
  EXPECT_EQ(SinkToFd(fd)->Write("x").code(), absl::StatusCode::kResourceExhausted);
  close(fd);
}

TEST_F(FileTest, SpoolFileComesBackAndLeavesNoName) {
  auto spool = SpoolFile::Create(dir_, 10, "spool_bytes_max");
  ASSERT_TRUE(spool.ok()) << spool.status();
  EXPECT_EQ(FilesInFolder(), 0u);
  ASSERT_TRUE((*spool)->Write("01234").ok());
  ASSERT_TRUE((*spool)->Write("56789").ok());
  std::string out(4, '?');
  ASSERT_TRUE((*spool)->ReadAt(3, absl::MakeSpan(out)).ok());
  EXPECT_EQ(out, "3456");
  EXPECT_EQ(GetReason((*spool)->ReadAt(7, absl::MakeSpan(out))), Reason::kTruncated);
}

TEST_F(FileTest, SpoolFileStopsAtItsLimitAndNamesIt) {
  auto spool = SpoolFile::Create(dir_, 10, "spool_bytes_max");
  ASSERT_TRUE(spool.ok());
  ASSERT_TRUE((*spool)->Write("01234567").ok());
  const absl::Status status = (*spool)->Write("8901");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(status), Reason::kLimit);
  EXPECT_THAT(std::string(status.message()), HasSubstr("spool_bytes_max"));
  EXPECT_EQ((*spool)->size_bytes(), 8u);
}

TEST_F(FileTest, SpoolFileNeedsItsFolder) {
  EXPECT_EQ(SpoolFile::Create(Path("absent"), 1, "n").status().code(), absl::StatusCode::kNotFound);
}

// Unnamed until it is committed, and as on file systems without unnamed files.
class AtomicFileTest : public FileTest, public testing::WithParamInterface<bool> {
 protected:
  absl::StatusOr<std::unique_ptr<AtomicFile>> Create(bool overwrite) const {
    return AtomicFile::Create(Path("out"), overwrite, GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(UnnamedAndNamed, AtomicFileTest, testing::Bool());

TEST_P(AtomicFileTest, AppearsWhenCommittedAndNotBefore) {
  auto file = Create(false);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Write("abc").ok());
  ASSERT_TRUE((*file)->WriteAt(3, "def").ok());
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(Get("out"), "abcdef");
  file->reset();
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_P(AtomicFileTest, CanBeReadBackBeforeItIsCommitted) {
  auto file = Create(false);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Write("abc").ok());
  const auto back = OpenFile((*file)->temp_path());
  ASSERT_TRUE(back.ok()) << back.status();
  std::string out(3, '?');
  ASSERT_TRUE((*back)->ReadAt(0, absl::MakeSpan(out)).ok());
  EXPECT_EQ(out, "abc");
}

TEST_P(AtomicFileTest, LeavesNothingBehindWithoutCommit) {
  {
    auto file = Create(false);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Write("abc").ok());
  }
  EXPECT_EQ(FilesInFolder(), 0u);
}

TEST_P(AtomicFileTest, RefusesToOverwriteUnlessTold) {
  Put("out", "old");
  const absl::Status status = Create(false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--force"));
  auto file = Create(true);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Write("new").ok());
  EXPECT_EQ(Get("out"), "old");
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(Get("out"), "new");
  file->reset();
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_P(AtomicFileTest, TakesANameThatIsFreeAlsoWhenItMayOverwrite) {
  auto file = Create(true);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Write("new").ok());
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(Get("out"), "new");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_P(AtomicFileTest, DoesNotOverwriteAFileThatAppearedMeanwhile) {
  auto file = Create(false);
  ASSERT_TRUE(file.ok());
  Put("out", "other");
  EXPECT_EQ((*file)->Commit().code(), absl::StatusCode::kAlreadyExists);
  file->reset();
  EXPECT_EQ(Get("out"), "other");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_P(AtomicFileTest, HonoursTheUmask) {
  const mode_t before = umask(027);
  auto file = Create(false);
  umask(before);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Commit().ok());
  struct stat info {};
  ASSERT_EQ(stat(Path("out").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0640u);
}

TEST_F(FileTest, AtomicFileLeavesNothingBehindWhenItsProcessIsKilled) {
  const int probe = open(dir_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (probe < 0) GTEST_SKIP() << "this file system has no unnamed files";
  close(probe);
  int written[2];
  ASSERT_EQ(pipe(written), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto file = AtomicFile::Create(Path("out"), false);
    const bool ok = file.ok() && (*file)->Write("abc").ok();
    if (write(written[1], ok ? "y" : "n", 1) != 1) _exit(1);
    while (true) pause();
  }
  char answer = '?';
  EXPECT_EQ(read(written[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(FilesInFolder(), 0u);
  close(written[0]);
  close(written[1]);
}

TEST_F(FileTest, AtomicFileNeedsAFolderAndAName) {
  EXPECT_EQ(AtomicFile::Create(Path("absent/out"), false).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(AtomicFile::Create(dir_, true).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ErrnoStatus, MapsErrnoToTheCodeThatSaysWhatToDo) {
  const struct {
    int error;
    absl::StatusCode code;
  } rows[] = {
      {ENOENT, absl::StatusCode::kNotFound},
      {EEXIST, absl::StatusCode::kAlreadyExists},
      {EACCES, absl::StatusCode::kPermissionDenied},
      {EPERM, absl::StatusCode::kPermissionDenied},
      {ENOSPC, absl::StatusCode::kResourceExhausted},
      {EDQUOT, absl::StatusCode::kResourceExhausted},
      {EIO, absl::StatusCode::kUnavailable},
  };
  for (const auto& row : rows) {
    const absl::Status status = ErrnoStatus(row.error, "writing x");
    EXPECT_EQ(status.code(), row.code) << row.error;
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("writing x: "));
  }
}

TEST_F(FileTest, ASmallFileIsReadAtOnceAndATooLongOneNamed) {
  Put("empty", "");
  Put("small", "12345");
  EXPECT_EQ(*ReadSmallFile(Path("empty"), 5), "");
  EXPECT_EQ(*ReadSmallFile(Path("small"), 5), "12345");
  const absl::Status longer = ReadSmallFile(Path("small"), 4).status();
  EXPECT_EQ(GetReason(longer), Reason::kLimit);
  EXPECT_THAT(std::string(longer.message()), HasSubstr("small: is 5 bytes, want at most 4"));
  EXPECT_TRUE(absl::IsNotFound(ReadSmallFile(Path("none"), 5).status()));
}

}  // namespace
}  // namespace ballast
