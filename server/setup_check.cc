#include "server/setup_check.h"

#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

// "" if a socket can be made there.
std::string SocketProblem(const std::string& path) {
  if (path.empty()) return "want unix:/path";
  if (path.size() > kSocketPathBytesMax) {
    return absl::StrCat("path is ", path.size(), " bytes, want at most ", kSocketPathBytesMax);
  }
  const fs::path folder = fs::absolute(path).parent_path();
  if (access(folder.c_str(), W_OK | X_OK) == 0) return "";
  return absl::StrCat("folder ", Printable(folder.string()), ": ", std::strerror(errno));
}

void CheckSockets(const Config& config, std::vector<std::string>* problems) {
  for (const std::string& address : config.listen) {
    absl::string_view path = address;
    if (!absl::ConsumePrefix(&path, "unix:")) continue;
    const std::string problem = SocketProblem(std::string(path));
    if (!problem.empty()) {
      problems->push_back(absl::StrCat("--listen ", Printable(address), ": ", problem));
    }
  }
}

void CheckTwice(const Config& config, std::vector<std::string>* problems) {
  std::set<std::string> seen;
  std::vector<std::string> addresses = config.listen;
  if (!config.metrics_listen.empty()) addresses.push_back(config.metrics_listen);
  for (const std::string& address : addresses) {
    if (absl::EndsWith(address, ":0") || seen.insert(address).second) continue;
    problems->push_back(absl::StrCat("address ", Printable(address), " is given twice"));
  }
}

}  // namespace

std::vector<std::string> SetupProblems(const Config& config) {
  std::vector<std::string> problems = ConfigProblems(config);
  for (std::string& problem : TlsProblems(config.tls)) problems.push_back(std::move(problem));
  CheckSockets(config, &problems);
  CheckTwice(config, &problems);
  return problems;
}

}  // namespace ballast
