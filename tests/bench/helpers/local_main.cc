// bench_local: what the machine itself can do, and parts of the product without a network.
//
//   bench_local hash FILE THREADS     reads FILE in blocks and hashes each with SHA-256
//   bench_local health DTYPE MIB      CPU of hashing MIB of such values (SHA-256 and CRC-32, as a
//                                     push does), and of counting their health beside it
//   bench_local serve                 commands on stdin (command_loop.h):
//     write PATH BYTES                a fresh file, 1 MiB a write, written behind, fsync
//     ingest DIR BYTES                the same bytes into a fresh block store, durable
//     gate COUNT TIMES                schema gate of COUNT entries: parse and compare

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"
#include "storage/base/digest.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/model/value_counter.h"
#include "storage/schema/schema.h"
#include "storage/schema/validate.h"
#include "storage/store/rocksdb/engine.h"
#include "tests/bench/helpers/command_loop.h"

namespace ballast::bench {
namespace {

// Neighbouring blocks that one thread takes, so that both read nearly in order.
constexpr uint64_t kBlocksPerTask = 8;
constexpr uint64_t kWritebackBytes = 4u << 20;

// Fresh content for write and ingest, made once; what is the same for both sides.
class Blocks {
 public:
  absl::Span<const char> Of(uint64_t bytes) {
    if (memory_.size() < bytes) {
      memory_ = RandomMemory(bytes, 5);
      digests_.clear();
      for (uint64_t at = 0; at < bytes; at += kBlockBytes) {
        digests_.push_back(Sha256Of(Block(at, bytes)));
        crcs_.push_back(Crc32(Block(at, bytes)));
      }
    }
    return absl::MakeConstSpan(memory_).subspan(0, bytes);
  }
  absl::string_view Block(uint64_t at, uint64_t bytes) const {
    return {memory_.data() + at, std::min<uint64_t>(kBlockBytes, bytes - at)};
  }
  const Digest& digest(uint64_t at) const { return digests_[at / kBlockBytes]; }
  uint32_t crc32(uint64_t at) const { return crcs_[at / kBlockBytes]; }

 private:
  std::vector<char> memory_;
  std::vector<Digest> digests_;
  std::vector<uint32_t> crcs_;
};

absl::Status WriteBlocks(int fd, absl::Span<const char> bytes) {
  uint64_t behind = 0;
  for (uint64_t at = 0; at < bytes.size(); at += kBlockBytes) {
    const uint64_t n = std::min<uint64_t>(kBlockBytes, bytes.size() - at);
    if (pwrite(fd, bytes.data() + at, n, static_cast<off_t>(at)) != static_cast<ssize_t>(n)) {
      return ErrnoStatus(errno, "writing");
    }
    if (at + n - behind < kWritebackBytes) continue;
    sync_file_range(fd, static_cast<off_t>(behind), static_cast<off_t>(at + n - behind),
                    SYNC_FILE_RANGE_WRITE);
    behind = at + n;
  }
  return fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "fsync");
}

absl::StatusOr<Numbers> Write(Blocks* blocks, const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t bytes, NumberAt(words, 1));
  const absl::Span<const char> memory = blocks->Of(bytes);
  const Stopwatch watch;
  const int fd = open(WordAt(words, 0).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, WordAt(words, 0));
  const absl::Status written = WriteBlocks(fd, memory);
  close(fd);
  Numbers numbers = watch.Stop();
  RETURN_IF_ERROR(written);
  unlink(WordAt(words, 0).c_str());
  return numbers;
}

absl::StatusOr<Numbers> Ingest(Blocks* blocks, const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t bytes, NumberAt(words, 1));
  const std::string dir = WordAt(words, 0);
  blocks->Of(bytes);
  Numbers numbers;
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<RocksEngine> engine, RocksEngine::Open({dir, Limits()}));
    const Stopwatch watch;
    ASSIGN_OR_RETURN(const std::unique_ptr<BlobBatch> batch, engine->blobs()->NewBatch(1));
    for (uint64_t at = 0; at < bytes; at += kBlockBytes) {
      RETURN_IF_ERROR(
          batch->Add(blocks->digest(at), blocks->crc32(at), blocks->Block(at, bytes)).status());
    }
    RETURN_IF_ERROR(batch->Flush());
    numbers = watch.Stop();
  }
  std::filesystem::remove_all(dir);
  return numbers;
}

double ThreadCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// What Gate does for a push with a schema: parse its text, compare the manifest's specs.
absl::StatusOr<Numbers> Gate(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t count, NumberAt(words, 0));
  ASSIGN_OR_RETURN(const uint64_t times, NumberAt(words, 1));
  std::vector<TensorSpec> specs;
  for (uint64_t i = 0; i < count; ++i) {
    specs.push_back({absl::StrCat("model.layers.", i, ".weight"), DType::kFloat32, {32, 32}});
  }
  const std::string json = SchemaToJson(SchemaOf(specs));
  const double begin = ThreadCpuSeconds();
  for (uint64_t i = 0; i < times; ++i) {
    ASSIGN_OR_RETURN(const Schema schema, ParseSchema(json, Limits()));
    RETURN_IF_ERROR(ReportToStatus(Validate(schema, specs, true, Limits())));
  }
  const double each =
      (ThreadCpuSeconds() - begin) / static_cast<double>(std::max<uint64_t>(times, 1));
  return Numbers{{"cpu_s", each}};
}

absl::Status HashFile(const std::string& path, uint64_t threads) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(path));
  const uint64_t task_bytes = kBlocksPerTask * kBlockBytes;
  std::atomic<uint64_t> next = 0;
  std::atomic<bool> failed = false;
  std::vector<std::thread> all;
  for (uint64_t i = 0; i < threads; ++i) {
    all.emplace_back([&] {
      std::vector<char> buffer(kBlockBytes);
      for (uint64_t task = next++; task * task_bytes < file->size_bytes(); task = next++) {
        const uint64_t end = std::min(file->size_bytes(), (task + 1) * task_bytes);
        for (uint64_t at = task * task_bytes; at < end; at += kBlockBytes) {
          const uint64_t n = std::min(kBlockBytes, end - at);
          failed = failed || !file->ReadAt(at, absl::MakeSpan(buffer.data(), n)).ok();
          const Digest digest = Sha256Of({buffer.data(), n});
          failed = failed || digest == Digest();
        }
      }
    });
  }
  for (std::thread& thread : all) thread.join();
  return failed ? absl::UnavailableError(path) : absl::OkStatus();
}

// The CPU seconds of one pass over `memory`, as HashBlocks makes it.
double HashOnce(absl::Span<const char> memory, DType dtype, bool with_health) {
  constexpr uint64_t kPieceBytes = 64u << 10;
  Sha256 sha;
  ValueCounter values(dtype);
  ValueTally tally;
  uint32_t crc = 0;
  const double begin = ThreadCpuSeconds();
  for (uint64_t at = 0; at < memory.size(); at += kPieceBytes) {
    const uint64_t n = std::min<uint64_t>(kPieceBytes, memory.size() - at);
    const absl::string_view piece(memory.data() + at, n);
    sha.Update(piece);
    crc = Crc32(piece, crc);
    if (with_health) values.Add(piece);
    if ((at + n) % kBlockBytes != 0) continue;
    sha.Finish();
    if (with_health) tally.Append(values.Finish());
  }
  return ThreadCpuSeconds() - begin;
}

// Values as weights are: small, of both signs, finite. For dtypes of 32 and 16 bits.
std::vector<char> WeightMemory(DType dtype, uint64_t bytes) {
  std::vector<char> memory = RandomMemory(bytes, 7);
  const size_t width = InfoOf(dtype).bits / 8;
  // The exponent's first bit is off, so that nothing is larger than 2.
  for (size_t at = width - 1; at < memory.size(); at += width) {
    memory[at] = static_cast<char>(memory[at] & ~0x40);
  }
  return memory;
}

absl::Status MeasureHealth(const Words& words) {
  const std::optional<DType> dtype = DTypeFromName(WordAt(words, 1));
  if (!dtype) return absl::InvalidArgumentError("want a dtype");
  ASSIGN_OR_RETURN(const uint64_t mib, NumberAt(words, 2));
  const std::vector<char> memory = WeightMemory(*dtype, mib << 20);
  double hash = 0, both = 0;
  for (int i = 0; i < 9; ++i) {  // the least of several, in turns
    const double plain = HashOnce(memory, *dtype, false);
    const double beside = HashOnce(memory, *dtype, true);
    hash = i == 0 ? plain : std::min(hash, plain);
    both = i == 0 ? beside : std::min(both, beside);
  }
  const double gigabytes = static_cast<double>(memory.size()) / 1e9;
  std::cout << DTypeName(*dtype) << ": hashing " << hash / gigabytes << " s/GB, with health "
            << both / gigabytes << " s/GB, " << 100 * (both / hash - 1) << " % more\n";
  return absl::OkStatus();
}

absl::Status Run(const Words& words) {
  if (WordAt(words, 0) == "health") return MeasureHealth(words);
  if (WordAt(words, 0) == "hash") {
    ASSIGN_OR_RETURN(const uint64_t threads, NumberAt(words, 2));
    return HashFile(WordAt(words, 1), threads);
  }
  if (WordAt(words, 0) != "serve") return absl::InvalidArgumentError("want hash|health|serve");
  Blocks blocks;
  RunCommands({{"write", [&](const Words& line) { return Write(&blocks, line); }},
               {"ingest", [&](const Words& line) { return Ingest(&blocks, line); }},
               {"gate", [&](const Words& line) { return Gate(line); }}});
  return absl::OkStatus();
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  ballast::bench::SetUpProcess();
  const absl::Status status = ballast::bench::Run(ballast::bench::Words(argv + 1, argv + argc));
  if (status.ok()) return 0;
  std::cerr << "bench_local: " << status.ToString() << "\n";
  return 1;
}
