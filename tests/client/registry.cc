#include "tests/client/registry.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ballast {

Registry::Registry()
    : manifest_memory_(Limits().manifest_memory_bytes, std::chrono::minutes(1),
                       "manifest_memory_bytes") {
  catalog_ = *Catalog::Open(engine_.blobs(), engine_.records(), Limits());
  collector_ =
      std::make_unique<Collector>(catalog_.get(), engine_.blobs(), engine_.records(), Limits());
  statistics_ = std::make_unique<Statistics>(Statistics::Sources{catalog_.get(), &monitor_, {}});
  verifier_ = std::make_unique<Verifier>(engine_.blobs(), engine_.records(), &monitor_, Limits());
  services_ = {catalog_.get(),    engine_.blobs(),  &authorizer_,      Limits(),  "/tmp",
               &manifest_memory_, collector_.get(), statistics_.get(), &watches_, verifier_.get()};
  methods_ = MakeMethodTable(services_);
}

std::unique_ptr<Client> Registry::NewClient(CutHook cut, ClientOptions options) {
  options.back_off = absl::ZeroDuration();
  return MakeClient(MakeInProcessTransport(&methods_, std::move(cut)), std::move(options));
}

std::string SafetensorsFile(const std::vector<TestTensor>& tensors) {
  std::string header, data;
  for (const TestTensor& tensor : tensors) {
    absl::StrAppend(&header, header.empty() ? "{" : ",", "\"", tensor.key, "\":{\"dtype\":\"",
                    tensor.dtype, "\",\"shape\":[", absl::StrJoin(tensor.shape, ","),
                    "],\"data_offsets\":[", data.size(), ",", data.size() + tensor.bytes.size(),
                    "]}");
    data += tensor.bytes;
  }
  header += tensors.empty() ? "{}" : "}";
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i));
  return out + header + data;
}

std::string Noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out;
  out.reserve(size + 8);
  while (out.size() < size) {
    const uint64_t word = random();
    out.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  out.resize(size);
  return out;
}

TestTensor NoiseTensor(const std::string& key, size_t size, uint64_t seed) {
  return {key, "U8", {size}, Noise(size, seed)};
}

TestFolder::TestFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "ballast-client-XXXXXX").string();
  path_ = mkdtemp(name.data());
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TestFolder::Write(const std::string& name, const std::string& bytes) const {
  std::ofstream(Path(name), std::ios::binary) << bytes;
  return Path(name);
}

std::vector<std::string> TestFolder::Names() const {
  std::vector<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(path_)) {
    names.push_back(item.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string ReadFileBytes(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

}  // namespace ballast
