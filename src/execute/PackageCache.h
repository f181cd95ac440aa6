#ifndef STROBE_EXECUTE_PACKAGE_CACHE_H
#define STROBE_EXECUTE_PACKAGE_CACHE_H

/** \file
 * Compiled kernel packages on disk, so that the next process need not compile.
 *
 * An entry is named by a hash of its key and holds the whole key, which is compared:
 * two keys never share an entry. It is written beside its place and renamed into it,
 * so readers see all of it or nothing. What is read is checked in full; an entry that is
 * damaged counts as absent and is replaced.
 *
 * The folder must be private: of this user, with no access for others, below folders
 * that nobody else may write to, none of them a symbolic link of another user's.
 * Any other is refused before anything in it is read. Entries are data for the CUDA
 * driver; nothing is executed on the host. The kernels that are installed with the library have the same form. */

#include "runtime/KernelPackage.h"

#include <mutex>
#include <optional>

namespace strobe {

class PackageCache {
    const std::string folder;
    const bool is_private;

    PackageCache(std::string folder, bool is_private) : folder(std::move(folder)), is_private(is_private) {
    }

public:
    /** Makes the folder (mode 0700) if there is none. Throws RuntimeFailure if it is not private. */
    explicit PackageCache(std::string folder);
    /** The folder of kernels that are installed with the library, and trusted as the library is: whoever can
     * change one can change the other. It need not exist. */
    static PackageCache installed(std::string folder) {
        return PackageCache(std::move(folder), false);
    }

    std::optional<KernelPackage> find(const std::string &key) const;
    /** Failures (a full disk, say) are noted in the log: a cache is not needed to go on. */
    void publish(const std::string &key, const KernelPackage &package) const;

    /** Where the entry of a key is, or would be. */
    std::string path_of(const std::string &key) const;
};

/** Everything that a package depends on: the text, the architecture, and the compiler:
 * the build of this library, of Halide and of ptxas. */
std::string package_key(const std::string &text, const std::string &architecture);
/** The same without ptxas, for kernels that are assembled where the library is built. */
std::string installed_package_key(const std::string &text, const std::string &architecture);

/** STROBE_CACHE, else strobe in XDG_CACHE_HOME, else .cache/strobe in the home folder;
 * "" if there is none, or if STROBE_CACHE is empty or "off". */
std::string default_cache_folder();

/** Held while compiling: Halide's compiler has counters that are not meant for several threads. */
std::mutex &compiler_mutex();

}  // namespace strobe

#endif
