// make_seeds FOLDER [FILE…]: writes the seeds of target T to FOLDER/T, those made here and
// those that the files give. Their names are their digests.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "storage/base/digest.h"
#include "tests/fuzz/seeds.h"

namespace {

void Write(const std::filesystem::path& folder, const std::vector<ballast::fuzz::Seed>& seeds) {
  for (const ballast::fuzz::Seed& seed : seeds) {
    const std::filesystem::path target = folder / std::string(seed.target);
    std::filesystem::create_directories(target);
    std::ofstream file(target / ballast::Sha256Of(seed.input).Hex(), std::ios::binary);
    file.write(seed.input.data(), static_cast<std::streamsize>(seed.input.size()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "make_seeds FOLDER [FILE…]\n");
    return 2;
  }
  Write(argv[1], ballast::fuzz::AllSeeds());
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    Write(argv[1], ballast::fuzz::SeedsOfFile(bytes));
  }
}
