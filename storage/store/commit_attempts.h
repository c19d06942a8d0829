// How often, and how fast, a conditional commit is tried again.
#ifndef BALLAST_STORAGE_STORE_COMMIT_ATTEMPTS_H_
#define BALLAST_STORAGE_STORE_COMMIT_ATTEMPTS_H_

namespace ballast {

// Commits that lose races, or whose outcome stays unknown, are tried this often.
inline constexpr int kCommitAttemptsMax = 64;
// Lets the others go first: nothing for the first few attempts, then a random time
// that grows to at most 50 ms.
void PauseBeforeAttempt(int attempt);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_COMMIT_ATTEMPTS_H_
