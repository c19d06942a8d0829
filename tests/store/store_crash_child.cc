// Run by the tests as a process of its own, because it is killed, or because it
// mounts a small disk.
//
//   push DIR SEED STEP   pushes without end to the data folder DIR and writes
//                        "ack <version> <seed of its blocks>" for each version that
//                        was acknowledged; kills itself after STEP steps of the
//                        engine (0: never)
//   gc DIR STEP          collects the folder's garbage and kills itself after STEP steps of
//                        the engine; writes "done" if there were less
//   full DIR             fills a small disk mounted at DIR; writes what went wrong.
//                        Exit codes: 0 as promised, 1 not, 77 may not mount
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <functional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "storage/base/status.h"
#include "storage/store/collector.h"
#include "tests/store/crash_blocks.h"
#include "tests/store/store_fixture.h"

namespace ballast {
namespace {

// A push that is interrupted, and comes back with the same request id.
absl::StatusOr<VersionInfo> PushInTwoParts(Catalog* catalog, uint64_t seed) {
  const std::string request = absl::StrCat("request ", seed);
  const std::vector<TestBlock> blocks = CrashBlocks(seed);
  {
    ASSIGN_OR_RETURN(const auto push, catalog->BeginPush("m", request));
    for (size_t i = 0; i + 1 < blocks.size(); ++i) {
      RETURN_IF_ERROR(push->Add(blocks[i].digest, blocks[i].crc32, blocks[i].bytes).status());
    }
    RETURN_IF_ERROR(push->Leave());
  }
  return PushBlocks(catalog, "m", blocks, request);
}

absl::Status PushForever(const std::string& dir, uint64_t seed, int64_t die_at_step) {
  std::atomic<int64_t> steps = 0;
  RocksEngine::Options options{dir, CrashLimits(), [&](absl::string_view) {
                                 if (++steps == die_at_step) raise(SIGKILL);
                               }};
  ASSIGN_OR_RETURN(const auto engine, RocksEngine::Open(options));
  ASSIGN_OR_RETURN(const auto catalog,
                   Catalog::Open(engine->blobs(), engine->records(), CrashLimits()));
  for (;; ++seed) {
    ASSIGN_OR_RETURN(const auto version, seed % 2 == 0
                                             ? PushBlocks(catalog.get(), "m", CrashBlocks(seed))
                                             : PushInTwoParts(catalog.get(), seed));
    std::printf("ack %llu %llu\n", static_cast<unsigned long long>(version.version),
                static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    if (seed % 3 != 0) continue;
    // Garbage: a version that is gone, so that removal and rewriting run as well.
    ASSIGN_OR_RETURN(const auto garbage,
                     PushBlocks(catalog.get(), "garbage", CrashBlocks(seed + 1'000'000)));
    RETURN_IF_ERROR(catalog->DeleteVersions("garbage", {garbage.version}, false, {}).status());
    RETURN_IF_ERROR(Collector(catalog.get(), engine->blobs(), engine->records(), CrashLimits())
                        .Collect({})
                        .status());
  }
}

absl::Status CollectOnce(const std::string& dir, int64_t die_at_step) {
  std::atomic<int64_t> steps = 0;
  std::atomic<bool> counting = false;
  RocksEngine::Options options{dir, CrashLimits(), [&](absl::string_view) {
                                 if (counting && ++steps == die_at_step) raise(SIGKILL);
                               }};
  ASSIGN_OR_RETURN(const auto engine, RocksEngine::Open(options));
  ASSIGN_OR_RETURN(const auto catalog,
                   Catalog::Open(engine->blobs(), engine->records(), CrashLimits()));
  counting = true;
  RETURN_IF_ERROR(Collector(catalog.get(), engine->blobs(), engine->records(), CrashLimits())
                      .Collect({})
                      .status());
  counting = false;
  std::printf("done\n");
  return absl::OkStatus();
}

// A file of zeros that takes `size_bytes`, or all that is left, of a disk.
uint64_t Fill(const std::string& path, uint64_t size_bytes) {
  const std::string zeros(1u << 16, '\0');
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  uint64_t written = 0;
  ssize_t n = 1;
  while (written < size_bytes && n > 0) {
    n = write(fd, zeros.data(), zeros.size());
    if (n > 0) written += static_cast<uint64_t>(n);
  }
  close(fd);
  return written;
}

// RocksDB looks for free space on its own, every few seconds.
absl::Status Eventually(const std::function<absl::Status()>& call) {
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  absl::Status status = call();
  while (!status.ok() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(100));
    status = call();
  }
  return status;
}

absl::Status ExpectFull(const absl::Status& status, absl::string_view what) {
  if (absl::IsResourceExhausted(status) &&
      status.message().find("the disk is full") != absl::string_view::npos) {
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat(what, " ended as ", status.ToString()));
}

absl::Status FillAndFree(const std::string& dir) {
  const std::string data = dir + "/data", filler = dir + "/filler", rest = dir + "/rest";
  uint64_t seed = 0;
  std::vector<VersionInfo> versions;
  {
    ASSIGN_OR_RETURN(const auto engine, RocksEngine::Open({data, SmallLimits()}));
    ASSIGN_OR_RETURN(const auto catalog,
                     Catalog::Open(engine->blobs(), engine->records(), SmallLimits()));
    const auto push = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(auto version, PushBlocks(catalog.get(), "m", CrashBlocks(++seed)));
      versions.push_back(std::move(version));
      return absl::OkStatus();
    };
    const auto check = [&](absl::string_view when) -> absl::Status {
      for (const VersionInfo& version : versions) {
        RETURN_IF_ERROR(CheckVersion(catalog.get(), engine->blobs(), version),
                        absl::StrCat(when, ": version ", version.version));
      }
      return absl::OkStatus();
    };
    Fill(filler, 24u << 20);
    absl::Status status;
    while (status.ok() && seed < 1000) status = push();
    RETURN_IF_ERROR(ExpectFull(status, "a push to the full disk"));
    RETURN_IF_ERROR(check("full"));

    Fill(rest, 1u << 30);
    const auto move = [&] { return catalog->SetAlias("m", "prod", 1, {}, {}).status(); };
    for (int i = 0; i < 200 && status.ok(); ++i) status = move();
    RETURN_IF_ERROR(ExpectFull(status, "a small commit to the full disk"));
    RETURN_IF_ERROR(check("quite full"));

    unlink(rest.c_str());
    unlink(filler.c_str());
    RETURN_IF_ERROR(Eventually(push), "a push after space came back");
    RETURN_IF_ERROR(Eventually(move), "an alias after space came back");
    RETURN_IF_ERROR(check("free again"));
  }
  ASSIGN_OR_RETURN(const auto engine, RocksEngine::Open({data, SmallLimits()}));
  ASSIGN_OR_RETURN(const auto catalog,
                   Catalog::Open(engine->blobs(), engine->records(), SmallLimits()));
  for (const VersionInfo& version : versions) {
    RETURN_IF_ERROR(CheckVersion(catalog.get(), engine->blobs(), version), "reopened");
  }
  return absl::OkStatus();
}

int RunOnSmallDisk(const std::string& dir) {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", dir.c_str(), "tmpfs", 0, "size=64m") != 0) {
    return 77;
  }
  const absl::Status status = FillAndFree(dir);
  if (status.ok()) return 0;
  std::printf("%s\n", status.ToString().c_str());
  return 1;
}

int Run(int argc, char** argv) {
  const std::string mode = argc > 2 ? argv[1] : "";
  if (mode == "full") return RunOnSmallDisk(argv[2]);
  uint64_t seed = 0;
  int64_t step = 0;
  if (mode == "gc" && argc == 4 && absl::SimpleAtoi(argv[3], &step)) {
    const absl::Status collected = CollectOnce(argv[2], step);
    if (!collected.ok()) std::printf("%s\n", collected.ToString().c_str());
    return collected.ok() ? 0 : 1;
  }
  if (mode != "push" || argc != 5 || !absl::SimpleAtoi(argv[3], &seed) ||
      !absl::SimpleAtoi(argv[4], &step)) {
    return 2;
  }
  std::printf("%s\n", PushForever(argv[2], seed, step).ToString().c_str());
  return 1;
}

}  // namespace
}  // namespace ballast

int main(int argc, char** argv) { return ballast::Run(argc, argv); }
