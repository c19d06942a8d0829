// Disks that fail: I/O errors at any change, errors that stay, a disk that turns read-only or
// full, and losses of power. What was acknowledged stays, reads go on, errors have the right
// code, and what can recover does.
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "storage/base/status.h"
#include "storage/store/collector.h"
#include "tests/store/crash_blocks.h"
#include "tests/store/fault_file_system.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

using rocksdb::IOStatus;

// A registry on such a disk, and what it acknowledged.
class FaultyRegistry {
 public:
  FaultyRegistry() : env_(rocksdb::NewCompositeEnv(disk_)) { EXPECT_THAT(Open(), IsOk()); }

  FaultFileSystem* disk() { return disk_.get(); }
  Catalog* catalog() { return catalog_.get(); }
  BlobStore* blobs() { return engine_->blobs(); }

  absl::Status Open() {
    RocksEngine::Options options{dir_.path() + "/data", CrashLimits()};
    options.env = env_.get();
    ASSIGN_OR_RETURN(engine_, RocksEngine::Open(options));
    ASSIGN_OR_RETURN(catalog_, Catalog::Open(engine_->blobs(), engine_->records(), CrashLimits(),
                                             nullptr, EngineUse::kSole));
    return absl::OkStatus();
  }
  // Ends as a process does: what fails now is told to nobody.
  void Close() {
    catalog_.reset();
    engine_.reset();
  }

  // One of: a push, tiny or of several files; a move of an alias; a deletion and collection.
  absl::Status Step() {
    const uint64_t step = ++steps_;
    if (step % 4 == 3 && !acknowledged_.empty()) {
      const uint64_t version = acknowledged_.rbegin()->first;
      const absl::Status moved = catalog_->SetAlias("m", "prod", version, {}, {}).status();
      if (moved.ok()) alias_ = version;
      alias_maybe_ = moved.ok() ? 0 : version;
      return moved;
    }
    if (step % 4 == 0) return MakeAndCollectGarbage();
    const auto version = PushBlocks(catalog_.get(), "m", CrashBlocks(step));
    RETURN_IF_ERROR(version.status());
    acknowledged_[version->version] = *version;
    return absl::OkStatus();
  }

  // Everything that was acknowledged, byte by byte.
  absl::Status Check() {
    for (const auto& [number, version] : acknowledged_) {
      ASSIGN_OR_RETURN(const VersionInfo info,
                       catalog_->GetVersion(*ParseReference(absl::StrCat("m:", number))));
      if (info.digest != version.digest) return absl::DataLossError("another digest");
      RETURN_IF_ERROR(CheckVersion(catalog_.get(), engine_->blobs(), info));
    }
    if (alias_ == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(const VersionInfo prod, catalog_->GetVersion(*ParseReference("m@prod")));
    if (prod.version == alias_ || prod.version == alias_maybe_) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("prod is ", prod.version, ", want ", alias_));
  }
  // Also what is there without having been acknowledged.
  absl::Status CheckAll() {
    RETURN_IF_ERROR(Check());
    const auto listed = catalog_->ListVersions("m", 0, "");
    if (absl::IsNotFound(listed.status())) return absl::OkStatus();
    RETURN_IF_ERROR(listed.status());
    for (const VersionInfo& version : listed->versions) {
      RETURN_IF_ERROR(CheckVersion(catalog_.get(), engine_->blobs(), version));
    }
    return absl::OkStatus();
  }
  size_t acknowledged() const { return acknowledged_.size(); }

 private:
  absl::Status MakeAndCollectGarbage() {
    ASSIGN_OR_RETURN(const auto garbage,
                     PushBlocks(catalog_.get(), "garbage", CrashBlocks(steps_ + 1'000'000)));
    RETURN_IF_ERROR(catalog_->DeleteVersions("garbage", {garbage.version}, false, {}).status());
    return Collector(catalog_.get(), engine_->blobs(), engine_->records(), CrashLimits())
        .Collect({})
        .status();
  }

  const TempDir dir_;
  const std::shared_ptr<FaultFileSystem> disk_ = std::make_shared<FaultFileSystem>();
  const std::unique_ptr<rocksdb::Env> env_;
  std::unique_ptr<RocksEngine> engine_;
  std::unique_ptr<Catalog> catalog_;
  uint64_t steps_ = 0;
  std::map<uint64_t, VersionInfo> acknowledged_;
  uint64_t alias_ = 0;        // what prod names; 0: nothing was acknowledged
  uint64_t alias_maybe_ = 0;  // or this, by a move that failed
};

IOStatus IoError() { return IOStatus::IOError("Input/output error"); }
IOStatus ReadOnly() { return IOStatus::IOError("Read-only file system"); }
IOStatus NoSpace() { return IOStatus::NoSpace("No space left on device"); }

// Changes that the steps of one run make.
constexpr int kSteps = 9;

TEST(DiskFaults, OneErrorAtAnyChangeLosesNothing) {
  std::mt19937 random(5);
  int failed = 0;
  // Every change of a run would take minutes; these are other ones in every stretch of it.
  for (uint64_t at = 1; at < 250; at += 5 + random() % 10) {
    SCOPED_TRACE(at);
    FaultyRegistry registry;
    std::atomic<uint64_t> change = 0;
    registry.disk()->SetHook(
        [&](const DiskChange&) { return ++change == at ? IoError() : IOStatus::OK(); });
    for (int step = 0; step < kSteps; ++step) {
      const absl::Status status = registry.Step();
      if (status.ok()) continue;
      ++failed;
      EXPECT_THAT(status, IsError(absl::StatusCode::kUnavailable, ""));
      EXPECT_THAT(registry.Check(), IsOk()) << "reads go on";
    }
    registry.disk()->SetHook(nullptr);
    // Killed, or (every second time) without power.
    registry.Close();
    if (at % 2 == 0) registry.disk()->ForgetUnsynced();
    ASSERT_THAT(registry.Open(), IsOk());
    EXPECT_THAT(registry.CheckAll(), IsOk());
    for (int step = 0; step < 4; ++step) EXPECT_THAT(registry.Step(), IsOk());
    EXPECT_THAT(registry.CheckAll(), IsOk());
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(failed, 5);
}

TEST(DiskFaults, ALossOfPowerTakesNothingThatWasAcknowledged) {
  for (int steps = 1; steps <= 12; ++steps) {
    SCOPED_TRACE(steps);
    FaultyRegistry registry;
    for (int step = 0; step < steps; ++step) ASSERT_THAT(registry.Step(), IsOk());
    // From here on nothing reaches the disk, not even what closing writes.
    registry.disk()->SetHook([](const DiskChange&) { return IoError(); });
    registry.Close();
    registry.disk()->SetHook(nullptr);
    registry.disk()->ForgetUnsynced();
    ASSERT_THAT(registry.Open(), IsOk());
    EXPECT_THAT(registry.CheckAll(), IsOk());
    EXPECT_THAT(registry.Step(), IsOk());
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(DiskFaults, ALogThatFailsStopsWritesUntilARestartAndSaysSo) {
  FaultyRegistry registry;
  for (int step = 0; step < 4; ++step) ASSERT_THAT(registry.Step(), IsOk());
  for (const char* what : {"append", "sync"}) {
    SCOPED_TRACE(what);
    bool once = false;
    registry.disk()->SetHook([&](const DiskChange& change) {
      const bool hit = change.what == what && change.path.ends_with(".log");
      return hit && !std::exchange(once, true) ? IoError() : IOStatus::OK();
    });
    EXPECT_THAT(registry.Step(), IsError(absl::StatusCode::kUnavailable, "Input/output error"));
    EXPECT_THAT(registry.Step(),
                IsError(absl::StatusCode::kUnavailable, "and the server restarted"));
    EXPECT_THAT(registry.Check(), IsOk());
    registry.disk()->SetHook(nullptr);
    registry.Close();
    registry.disk()->ForgetUnsynced();
    ASSERT_THAT(registry.Open(), IsOk());
    EXPECT_THAT(registry.CheckAll(), IsOk());
    for (int step = 0; step < 4; ++step) EXPECT_THAT(registry.Step(), IsOk());
  }
}

TEST(DiskFaults, ABlockFileThatFailsCostsOnePush) {
  FaultyRegistry registry;
  ASSERT_THAT(registry.Step(), IsOk());
  for (const char* what : {"create", "append", "sync", "link"}) {
    SCOPED_TRACE(what);
    registry.disk()->SetHook([&](const DiskChange& change) {
      const bool tmp = change.path.find("/data/tmp/") != std::string::npos;
      const bool linked = change.what == "link" && absl::string_view(what) == "link";
      return (tmp && change.what == what) || linked ? IoError() : IOStatus::OK();
    });
    const auto failed = PushBlocks(registry.catalog(), "big", CrashBlocks(2));
    EXPECT_THAT(failed.status(), IsError(absl::StatusCode::kUnavailable, "block file"));
    EXPECT_THAT(registry.Check(), IsOk());
    registry.disk()->SetHook(nullptr);
  }
  EXPECT_THAT(PushBlocks(registry.catalog(), "big", CrashBlocks(2)).status(), IsOk())
      << "without a restart";
  EXPECT_THAT(registry.Step(), IsOk());
  EXPECT_THAT(registry.CheckAll(), IsOk());
}

// Writes fail, reads go on, and when the disk can be written again so can the registry, at the
// latest after a restart.
TEST(DiskFaults, ADiskThatTurnsReadOnlyKeepsServing) {
  FaultyRegistry registry;
  for (int step = 0; step < 4; ++step) ASSERT_THAT(registry.Step(), IsOk());
  registry.disk()->SetHook([](const DiskChange&) { return ReadOnly(); });
  for (int step = 0; step < 4; ++step) {
    EXPECT_THAT(registry.Step(), IsError(absl::StatusCode::kUnavailable, "Read-only file system"));
    EXPECT_THAT(registry.Check(), IsOk());
  }
  registry.Close();
  EXPECT_THAT(registry.Open(), IsError(absl::StatusCode::kUnavailable, "Read-only file system"));
  registry.disk()->SetHook(nullptr);
  ASSERT_THAT(registry.Open(), IsOk());
  EXPECT_THAT(registry.CheckAll(), IsOk());
  EXPECT_THAT(registry.Step(), IsOk());
}

// Reads a version again and again, beside whatever else is done.
class Reader {
 public:
  Reader(FaultyRegistry* registry, VersionInfo version)
      : thread_([this, registry, version = std::move(version)] {
          while (!ended_) {
            const absl::Status read = CheckVersion(registry->catalog(), registry->blobs(), version);
            if (!read.ok()) status_ = read;
          }
        }) {}
  absl::Status End() {
    ended_ = true;
    thread_.join();
    return status_;
  }

 private:
  std::atomic<bool> ended_ = false;
  absl::Status status_;
  std::thread thread_;
};

// `full` tells which changes find no space.
void FillUpAndRecover(const std::function<bool(const DiskChange&)>& full) {
  FaultyRegistry registry;
  for (int step = 0; step < 3; ++step) ASSERT_THAT(registry.Step(), IsOk());
  const auto version = PushBlocks(registry.catalog(), "read", CrashBlocks(2));
  ASSERT_THAT(version.status(), IsOk());
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    Reader reader(&registry, *version);
    registry.disk()->SetHook([&](const DiskChange& change) {
      return change.what == "append" && full(change) ? NoSpace() : IOStatus::OK();
    });
    for (int step = 0; step < 4; ++step) {
      EXPECT_THAT(registry.Step(),
                  IsError(absl::StatusCode::kResourceExhausted, "the disk is full"));
      EXPECT_THAT(registry.Check(), IsOk());
    }
    registry.disk()->SetHook(nullptr);
    // RocksDB is opened anew when nothing is being read.
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    absl::Status status = registry.Step();
    while (!status.ok() && absl::Now() < deadline) status = registry.Step();
    EXPECT_THAT(status, IsOk());
    EXPECT_THAT(reader.End(), IsOk());
    EXPECT_THAT(registry.CheckAll(), IsOk());
    for (int step = 0; step < 4; ++step) EXPECT_THAT(registry.Step(), IsOk()) << "as before";
  }
  registry.Close();
  ASSERT_THAT(registry.Open(), IsOk());
  EXPECT_THAT(registry.CheckAll(), IsOk());
}

TEST(DiskFaults, AFullDiskRecoversWithoutARestart) {
  FillUpAndRecover([](const DiskChange&) { return true; });
}

// There is space for a look whether there is some, and then none to open RocksDB anew.
TEST(DiskFaults, ADiskThatIsFullAgainWhileRecoveringKeepsServing) {
  FillUpAndRecover([](const DiskChange& change) { return !change.path.ends_with(".dbtmp"); });
}

}  // namespace
}  // namespace ballast
