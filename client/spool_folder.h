// Where temporary files go.
#ifndef BALLAST_CLIENT_SPOOL_FOLDER_H_
#define BALLAST_CLIENT_SPOOL_FOLDER_H_

#include <cstdlib>
#include <string>

namespace ballast {

// $TMPDIR, or /tmp.
inline std::string SpoolFolder() {
  const char* dir = std::getenv("TMPDIR");
  return dir != nullptr && *dir != '\0' ? dir : "/tmp";
}

}  // namespace ballast

#endif  // BALLAST_CLIENT_SPOOL_FOLDER_H_
