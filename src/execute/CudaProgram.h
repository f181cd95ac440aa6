#ifndef STROBE_EXECUTE_CUDA_PROGRAM_H
#define STROBE_EXECUTE_CUDA_PROGRAM_H

/** \file
 * An algorithm text compiled for a GPU architecture. */

#include "runtime/Launch.h"
#include "text/AlgorithmText.h"

#include <memory>

namespace strobe {

class PackageCache;

class CudaProgram {
    TextAlgorithm text;
    std::unique_ptr<LoadedPackage> loaded;
    std::vector<int> order;          // of a package buffer: tensor, or tensors + output
    std::vector<int> scalar_order;   // of a package scalar: that of the text
    bool cached = false;

public:
    /** Takes the package from the cache, else compiles and puts it there. Throws
     * UserError. \p cache may be null. */
    CudaProgram(const std::string &text, const std::string &architecture, PackageCache *cache);
    /** The same of an algorithm that \p key describes completely; what is \p installed goes before the cache. */
    CudaProgram(TextAlgorithm algorithm, const std::string &key, const std::string &architecture, PackageCache *cache,
                const PackageCache *installed = nullptr);

    const TextAlgorithm &algorithm() const {
        return text;
    }
    /** It came from the cache, or was installed. */
    bool from_cache() const {
        return cached;
    }

    const KernelPackage &package() const {
        return loaded->package();
    }

    /** Launches on tensors that output_sizes() accepted, in the order of the text. */
    void launch(const std::vector<TensorArgument> &tensors, const std::vector<double> &scalars,
                const std::vector<TensorArgument> &outputs, cuda::Stream stream);
};

}  // namespace strobe

#endif
