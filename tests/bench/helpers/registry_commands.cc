#include "tests/bench/helpers/registry_commands.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "tests/bench/helpers/mapped_model.h"

namespace ballast::bench {
namespace {

constexpr uint32_t kListed = 10;
constexpr uint64_t kSmallTensors = 4;

class CountingSink : public ByteSink {
 public:
  absl::Status Write(absl::string_view bytes) override {
    count_ += bytes.size();
    return absl::OkStatus();
  }
  uint64_t count() const { return count_; }

 private:
  uint64_t count_ = 0;
};

Numbers With(Numbers numbers, const std::string& name, double value) {
  numbers[name] = value;
  return numbers;
}

// Runs `work` on so many threads at once; the first failure.
absl::Status AtOnce(uint64_t threads, const std::function<absl::Status(uint64_t)>& work) {
  std::mutex mutex;
  absl::Status first;
  std::vector<std::thread> all;
  for (uint64_t i = 0; i < threads; ++i) {
    all.emplace_back([&, i] {
      const absl::Status status = work(i);
      const std::lock_guard lock(mutex);
      first.Update(status);
    });
  }
  for (std::thread& thread : all) thread.join();
  return first;
}

// Latencies of so many calls, one after the other.
absl::StatusOr<Numbers> Each(uint64_t count, const std::function<absl::Status(uint64_t)>& call) {
  std::vector<double> latencies;
  for (uint64_t i = 0; i < count; ++i) {
    const double begin = Now();
    RETURN_IF_ERROR(call(i));
    latencies.push_back(Now() - begin);
  }
  return Percentiles(std::move(latencies));
}

}  // namespace

absl::StatusOr<uint64_t> RegistryCommands::PullIntoMemory(const std::string& reference,
                                                          const PullOptions& options) {
  uint64_t used = 0;
  const auto allocate = [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
    const uint64_t size = CheckedTensorBytes(spec);
    if (memory_.size() - used < size) return absl::InternalError("the memory is too small");
    used += size;
    return absl::MakeSpan(memory_.data() + used - size, size);
  };
  RETURN_IF_ERROR(client_->PullTensors(reference, options, allocate).status());
  return used;
}

absl::StatusOr<Numbers> RegistryCommands::PullMemory(const Words& words) {
  const std::string reference = WordAt(words, 0);
  ASSIGN_OR_RETURN(const VersionDescription version, client_->GetVersion(reference));
  if (memory_.size() < version.payload_bytes) memory_ = RandomMemory(version.payload_bytes, 3);
  const Stopwatch watch;
  ASSIGN_OR_RETURN(const uint64_t bytes, PullIntoMemory(reference, {}));
  return With(watch.Stop(), "bytes", static_cast<double>(bytes));
}

absl::StatusOr<Numbers> RegistryCommands::MemoryMatches(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t offset, NumberAt(words, 1));
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(WordAt(words, 0)));
  std::vector<char> piece(kBlockBytes);
  bool equal = true;
  for (uint64_t at = offset; at < file->size_bytes() && equal; at += piece.size()) {
    const uint64_t n = std::min<uint64_t>(piece.size(), file->size_bytes() - at);
    RETURN_IF_ERROR(file->ReadAt(at, absl::MakeSpan(piece.data(), n)));
    equal = at - offset + n <= memory_.size() &&
            std::memcmp(piece.data(), memory_.data() + (at - offset), n) == 0;
  }
  return Numbers{{"equal", equal ? 1.0 : 0.0}};
}

absl::StatusOr<Numbers> RegistryCommands::PullSink(const Words& words) {
  PullOptions options;
  options.format = FormatFromName(WordAt(words, 1)).value_or(Format::kUnknown);
  ASSIGN_OR_RETURN(const uint64_t threads, NumberAt(words, 2));
  std::atomic<uint64_t> bytes = 0;
  const auto pull = [&](uint64_t) {
    CountingSink sink;
    const absl::Status status = client_->PullToSink(WordAt(words, 0), &sink, options).status();
    bytes += sink.count();
    return status;
  };
  const Stopwatch watch;
  RETURN_IF_ERROR(AtOnce(threads, pull));
  return With(watch.Stop(), "bytes", static_cast<double>(bytes));
}

absl::StatusOr<Numbers> RegistryCommands::PullFor(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t seconds, NumberAt(words, 1));
  CountingSink sink;
  const Stopwatch watch;
  for (const double end = Now() + static_cast<double>(seconds); Now() < end;) {
    RETURN_IF_ERROR(client_->PullToSink(WordAt(words, 0), &sink, {}).status());
  }
  return With(watch.Stop(), "bytes", static_cast<double>(sink.count()));
}

absl::StatusOr<Numbers> RegistryCommands::PullKey(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t count, NumberAt(words, 2));
  if (memory_.size() < 64u << 20) memory_ = RandomMemory(64u << 20, 3);
  PullOptions options;
  options.rules.include = {WordAt(words, 1)};
  uint64_t bytes = 0;
  const auto pull = [&](uint64_t) -> absl::Status {
    ASSIGN_OR_RETURN(bytes, PullIntoMemory(WordAt(words, 0), options));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(Numbers numbers, Each(count, pull));
  return With(std::move(numbers), "bytes", static_cast<double>(bytes));
}

absl::StatusOr<Numbers> RegistryCommands::PullEach(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t count, NumberAt(words, 1));
  if (memory_.size() < 1u << 20) memory_ = RandomMemory(1u << 20, 3);
  return Each(count, [&](uint64_t) { return PullIntoMemory(WordAt(words, 0), {}).status(); });
}

absl::StatusOr<Numbers> RegistryCommands::PushMapped(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t stamp, NumberAt(words, 2));
  ASSIGN_OR_RETURN(const uint64_t threads, NumberAt(words, 3));
  std::vector<std::unique_ptr<MappedModel>> models;
  for (uint64_t i = 0; i < threads; ++i) {
    ASSIGN_OR_RETURN(auto model, MappedModel::Open(WordAt(words, 0)));
    model->Stamp((stamp << 8) + i + 1);
    models.push_back(std::move(model));
  }
  std::atomic<uint64_t> sent = 0;
  const auto push = [&](uint64_t i) -> absl::Status {
    const std::string model = absl::StrCat(WordAt(words, 1), "-", i);
    ASSIGN_OR_RETURN(const PushResult result,
                     client_->PushTensors(models[i]->tensors(), model, {}));
    sent += result.bytes_sent;
    return absl::OkStatus();
  };
  const Stopwatch watch;
  RETURN_IF_ERROR(AtOnce(threads, push));
  return With(watch.Stop(), "bytes", static_cast<double>(sent));
}

absl::StatusOr<Numbers> RegistryCommands::PushEach(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t count, NumberAt(words, 1));
  ASSIGN_OR_RETURN(const uint64_t stamp, NumberAt(words, 2));
  const uint64_t share = small_.size() / kSmallTensors;
  std::vector<TensorView> tensors;
  for (uint64_t i = 0; i < kSmallTensors; ++i) {
    tensors.push_back({absl::StrCat("layer.", i),
                       DType::kUint8,
                       {share},
                       absl::MakeConstSpan(small_).subspan(i * share, share)});
  }
  return Each(count, [&](uint64_t i) {
    const uint64_t value = (stamp << 32) + i;
    std::memcpy(small_.data(), &value, sizeof(value));
    return client_->PushTensors(tensors, WordAt(words, 0), {}).status();
  });
}

absl::StatusOr<Numbers> RegistryCommands::Resolve(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t count, NumberAt(words, 1));
  return Each(count, [&](uint64_t) { return client_->GetVersion(WordAt(words, 0)).status(); });
}

absl::StatusOr<Numbers> RegistryCommands::ResolveRate(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t seconds, NumberAt(words, 1));
  ASSIGN_OR_RETURN(const uint64_t threads, NumberAt(words, 2));
  std::atomic<uint64_t> count = 0;
  const double end = Now() + static_cast<double>(seconds);
  const auto resolve = [&](uint64_t) -> absl::Status {
    for (; Now() < end; ++count) {
      RETURN_IF_ERROR(client_->GetVersion(WordAt(words, 0)).status());
    }
    return absl::OkStatus();
  };
  const Stopwatch watch;
  RETURN_IF_ERROR(AtOnce(threads, resolve));
  Numbers numbers = watch.Stop();
  const double per_s = static_cast<double>(count) / numbers["seconds"];
  return With(std::move(numbers), "per_s", per_s);
}

absl::StatusOr<Numbers> RegistryCommands::List(const Words& words) {
  ASSIGN_OR_RETURN(const uint64_t count, NumberAt(words, 1));
  return Each(count, [&](uint64_t) {
    return client_->ListVersions(WordAt(words, 0), "", kListed).status();
  });
}

std::map<std::string, Command> RegistryCommands::Table() {
  const auto command = [this](Result (RegistryCommands::*method)(const Words&)) -> Command {
    return [this, method](const Words& words) { return (this->*method)(words); };
  };
  return {{"pull-memory", command(&RegistryCommands::PullMemory)},
          {"memory-matches", command(&RegistryCommands::MemoryMatches)},
          {"pull-sink", command(&RegistryCommands::PullSink)},
          {"pull-for", command(&RegistryCommands::PullFor)},
          {"pull-key", command(&RegistryCommands::PullKey)},
          {"pull-each", command(&RegistryCommands::PullEach)},
          {"push-mapped", command(&RegistryCommands::PushMapped)},
          {"push-each", command(&RegistryCommands::PushEach)},
          {"resolve", command(&RegistryCommands::Resolve)},
          {"resolve-rate", command(&RegistryCommands::ResolveRate)},
          {"list", command(&RegistryCommands::List)}};
}

}  // namespace ballast::bench
