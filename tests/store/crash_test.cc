// Processes that are killed while they push: what was acknowledged is whole at the
// next open, and nothing torn is visible.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "storage/store/collector.h"
#include "tests/store/crash_blocks.h"
#include "tests/store/store_fixture.h"

extern char** environ;

namespace ballast {
namespace {

class Child {
 public:
  explicit Child(std::vector<std::string> args) {
    args.insert(args.begin(), BALLAST_STORE_CRASH_CHILD);
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    out_ = fdopen(ends[0], "r");
  }
  ~Child() { fclose(out_); }

  // false at the end of the output.
  bool ReadLine(std::string* line) {
    char buffer[4096];
    if (fgets(buffer, sizeof(buffer), out_) == nullptr) return false;
    *line = buffer;
    return true;
  }
  void Kill() { kill(pid_, SIGKILL); }
  // The status that waitpid gives.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    return status;
  }

 private:
  pid_t pid_ = 0;
  FILE* out_ = nullptr;
};

class CrashTest : public ::testing::Test {
 protected:
  // Notes what the child acknowledged; returns false for anything else.
  bool Note(const std::string& line) {
    std::istringstream in(line);
    std::string word;
    uint64_t version = 0, seed = 0;
    in >> word >> version >> seed;
    if (word != "ack" || !in) return false;
    acknowledged_[version] = seed;
    return true;
  }

  // Opens the folder and checks everything in it.
  void CheckFolder() {
    const auto engine = OpenRocks(dir_.path() + "/data");
    ASSERT_NE(engine, nullptr);
    const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), SmallLimits());
    uint64_t newest = 0;
    const auto model = catalog->GetModel("m");
    if (model.ok()) newest = model->latest;
    for (const auto& [version, seed] : acknowledged_) {
      const auto info = catalog->GetVersion(*ParseReference(absl::StrCat("m:", version)));
      ASSERT_THAT(info, IsOk());
      EXPECT_EQ(info->digest, VersionDigest(MakeManifest(CrashBlocks(seed))));
    }
    for (uint64_t version = 1; version <= newest; ++version) {
      const auto info = catalog->GetVersion(*ParseReference(absl::StrCat("m:", version)));
      ASSERT_THAT(info, IsOk());
      EXPECT_THAT(CheckVersion(catalog.get(), engine->blobs(), *info), IsOk()) << version;
    }
    if (model.ok()) {
      EXPECT_EQ(model->versions, newest);
    }
  }

  const TempDir dir_;
  std::map<uint64_t, uint64_t> acknowledged_;  // version -> seed
};

TEST_F(CrashTest, KeepsWhatWasAcknowledgedWhenKilledAtAnyTime) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    Child child({"push", dir_.path() + "/data", absl::StrCat(round * 1000), "0"});
    const uint64_t lines = 1 + random() % 6;
    std::string line;
    for (uint64_t i = 0; i < lines; ++i) {
      ASSERT_TRUE(child.ReadLine(&line));
      ASSERT_TRUE(Note(line)) << line;
    }
    child.Kill();
    while (child.ReadLine(&line) && line.back() == '\n') ASSERT_TRUE(Note(line)) << line;
    ASSERT_TRUE(WIFSIGNALED(child.Wait()));
    CheckFolder();
    if (HasFatalFailure()) return;
  }
}

TEST_F(CrashTest, SeesOldOrNewWhenKilledBetweenAnyTwoSteps) {
  for (int step = 1; step <= 30; ++step) {
    SCOPED_TRACE(step);
    Child child({"push", dir_.path() + "/data", absl::StrCat(step * 1000), absl::StrCat(step)});
    std::string line;
    while (child.ReadLine(&line) && line.back() == '\n') ASSERT_TRUE(Note(line)) << line;
    const int status = child.Wait();
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CheckFolder();
    if (HasFatalFailure()) return;
  }
}

// Versions that stay beside versions that have been deleted, in the same block files.
void MakeScene(const std::string& dir, std::map<uint64_t, uint64_t>* versions) {
  const auto engine = OpenRocks(dir);
  ASSERT_NE(engine, nullptr);
  const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), CrashLimits());
  const TestBlock kept = MakeBlock(77, 900'000);
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    const auto version = PushBlocks(catalog.get(), "m", CrashBlocks(seed));
    ASSERT_THAT(version, IsOk());
    (*versions)[version->version] = seed;
    std::vector<TestBlock> mixed = CrashBlocks(1'000'000 + 3 * seed + 1);
    mixed.push_back(kept);
    ASSERT_THAT(PushBlocks(catalog.get(), "garbage", mixed), IsOk());
  }
  ASSERT_THAT(PushBlocks(catalog.get(), "kept", {kept}), IsOk());
  ASSERT_THAT(catalog->DeleteAllVersions("garbage", false, {}), IsOk());
}

// Collected in the end, the folder of such a scene holds what is in use and nothing else.
void CheckCollected(const std::string& dir) {
  const auto engine = OpenRocks(dir);
  ASSERT_NE(engine, nullptr);
  const auto catalog = *Catalog::Open(engine->blobs(), engine->records(), CrashLimits());
  const auto collected =
      Collector(catalog.get(), engine->blobs(), engine->records(), CrashLimits()).Collect({});
  ASSERT_THAT(collected, IsOk());
  EXPECT_EQ(collected->versions_live, 3u);
  EXPECT_EQ(collected->versions_held, 0u);
  uint64_t blocks = 0;
  for (uint32_t shard = 0; shard < BlobStore::kShards; ++shard) {
    std::string cursor;
    do {
      blocks += engine->blobs()->Scan(shard, &cursor)->size();
    } while (!cursor.empty());
  }
  EXPECT_EQ(blocks, collected->blocks_live);
  const auto kept = catalog->GetVersion(*ParseReference("kept"));
  ASSERT_THAT(kept, IsOk());
  EXPECT_THAT(CheckVersion(catalog.get(), engine->blobs(), *kept), IsOk());
}

TEST_F(CrashTest, ACollectionKilledBetweenAnyTwoStepsLosesNothing) {
  const std::string data = dir_.path() + "/data";
  bool done = false;
  int step = 0;
  while (!done) {
    SCOPED_TRACE(++step);
    std::filesystem::remove_all(data);
    acknowledged_.clear();
    MakeScene(data, &acknowledged_);
    Child child({"gc", data, absl::StrCat(step)});
    std::string line;
    done = child.ReadLine(&line);
    EXPECT_EQ(line, done ? "done\n" : "");
    const int status = child.Wait();
    ASSERT_TRUE(done ? WIFEXITED(status) : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CheckFolder();
    CheckCollected(data);
    CheckFolder();
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 5);
}

TEST_F(CrashTest, AFullDiskIsReportedAndWorksAgainWhenItIsNot) {
  Child child({"full", dir_.path()});
  std::string line, output;
  while (child.ReadLine(&line)) output += line;
  const int status = child.Wait();
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "may not mount a small disk here";
  EXPECT_EQ(WEXITSTATUS(status), 0) << output;
}

}  // namespace
}  // namespace ballast
