// Member-wise equality of values, in headers that C++17 programs include as well.
#ifndef BALLAST_STORAGE_BASE_EQUALITY_H_
#define BALLAST_STORAGE_BASE_EQUALITY_H_

// In a class, followed by a semicolon: two of them are equal if all members are.
// C++17 has no defaulted comparison; programs compiled as C++17 go without.
#if defined(__cpp_impl_three_way_comparison)
#define BALLAST_DEFAULT_EQUALITY(Type) friend bool operator==(const Type&, const Type&) = default
#else
#define BALLAST_DEFAULT_EQUALITY(Type) static_assert(true, "")
#endif

#endif  // BALLAST_STORAGE_BASE_EQUALITY_H_
