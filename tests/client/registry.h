// A whole registry in the process: memory engine, catalog, the server's methods, and
// clients of it.
#ifndef BALLAST_TESTS_CLIENT_REGISTRY_H_
#define BALLAST_TESTS_CLIENT_REGISTRY_H_

#include <ballast/client.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "server/authorizer.h"
#include "server/handlers/handlers.h"
#include "tests/support/fake_monitor.h"
#include "tests/support/in_process_transport.h"
#include "tests/support/memory_engine.h"

namespace ballast {

class Registry {
 public:
  Registry();
  // `cut` as in in_process_transport.h. Retries follow each other at once.
  std::unique_ptr<Client> NewClient(CutHook cut = nullptr, ClientOptions options = {});
  MemoryEngine* engine() { return &engine_; }
  FakeMonitor* monitor() { return &monitor_; }
  Watches* watches() { return &watches_; }
  // To be changed before a client is made.
  MethodTable* methods() { return &methods_; }

 private:
  MemoryEngine engine_;
  AllowAll authorizer_;
  MemoryBudget manifest_memory_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Collector> collector_;
  FakeMonitor monitor_;
  std::unique_ptr<Statistics> statistics_;
  Watches watches_;
  std::unique_ptr<Verifier> verifier_;
  Services services_;
  MethodTable methods_;
};

// A tensor of a test file.
struct TestTensor {
  std::string key;
  std::string dtype;  // safetensors' spelling: "F32"
  std::vector<uint64_t> shape;
  std::string bytes;
};

// The bytes of a safetensors file.
std::string SafetensorsFile(const std::vector<TestTensor>& tensors);
// `size` bytes that repeat nowhere and differ with the seed.
std::string Noise(size_t size, uint64_t seed);
// One uint8 tensor of so many bytes.
TestTensor NoiseTensor(const std::string& key, size_t size, uint64_t seed);

// A folder of the test's own, removed with it.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& bytes) const;
  // Names of what is in it, ascending.
  std::vector<std::string> Names() const;

 private:
  std::string path_;
};

std::string ReadFileBytes(const std::string& path);

}  // namespace ballast

#endif  // BALLAST_TESTS_CLIENT_REGISTRY_H_
