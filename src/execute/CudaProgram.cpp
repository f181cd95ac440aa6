#include "CudaProgram.h"

#include "PackageCache.h"
#include "driver/CompileCuda.h"
#include "support/Error.h"
#include "support/Log.h"

#include <algorithm>
#include <chrono>
#include <mutex>

namespace strobe {

using namespace Halide;

namespace {

/** The Halide target whose machine code runs on \p architecture. */
Target target_of(const TextAlgorithm &text, const std::string &architecture) {
    const Target target = get_host_target().with_feature(Target::CUDA);
    if (architecture == "sm_90a") {
        return target;
    }
    if (architecture.rfind("sm_8", 0) != 0) {
        strobe_user_error() << "In " << text.name << ": there is no code generator for " << architecture
                            << "; kernels are made for sm_90a and sm_80. Move the tensors to the CPU";
    }
    return target.with_feature(Target::CUDACapability80);
}

KernelPackage compile_package(const TextAlgorithm &text, const std::string &architecture) {
    const Target target = target_of(text, architecture);
    try {
        CudaCompilation c = compile_cuda(text.funcs, target, {}, text.name);
        for (const std::string &warning : c.warnings) {
            strobe_debug(1) << "warning: " << warning << "\n";
        }
        return std::move(c.package);
    } catch (const Halide::Error &e) {
        strobe_user_error() << "In " << text.name << ": " << e.what();
    }
}

/** Position of the name among things with names, or -1. Outputs' buffers may carry a suffix of Halide's. */
template<typename Things>
int position_of_name(const Things &things, const std::string &name) {
    const std::string plain = name.substr(0, name.find_first_of("$."));
    for (size_t n = 0; n < things.size(); n++) {
        if (things[n].name == plain) {
            return int(n);
        }
    }
    return -1;
}

}  // namespace

CudaProgram::CudaProgram(const std::string &json, const std::string &architecture, PackageCache *cache)
    : CudaProgram(read_algorithm_text(json), json, architecture, cache) {
}

CudaProgram::CudaProgram(TextAlgorithm algorithm, const std::string &source, const std::string &architecture,
                         PackageCache *cache, const PackageCache *installed)
    : text(std::move(algorithm)) {
    const auto start = std::chrono::steady_clock::now();
    const std::string key = cache ? package_key(source, architecture) : "";
    std::optional<KernelPackage> package;
    if (installed) {
        package = installed->find(installed_package_key(source, architecture));
    }
    if (!package && cache) {
        package = cache->find(key);
    }
    cached = package.has_value();
    if (!package) {
        const std::lock_guard<std::mutex> lock(compiler_mutex());
        package = compile_package(text, architecture);
        if (cache) {
            cache->publish(key, *package);
        }
    }
    for (const BufferSpec &b : package->buffers) {
        const int n = b.output ? position_of_name(text.outputs, b.name) : position_of_name(text.tensors, b.name);
        strobe_internal_assert(n >= 0) << "the kernel takes " << b.name << ", which the text does not have";
        order.push_back(b.output ? int(text.tensors.size()) + n : n);
    }
    for (const ScalarSpec &s : package->scalars) {
        const int n = position_of_name(text.scalars, s.name);
        strobe_internal_assert(n >= 0) << "the kernel takes " << s.name << ", which the text does not have";
        scalar_order.push_back(n);
    }
    loaded = std::make_unique<LoadedPackage>(std::move(*package));
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    strobe_debug(1) << (cached ? "loaded " : "compiled ") << text.name << " for " << architecture << " in "
                    << time.count() << " ms\n";
}

void CudaProgram::launch(const std::vector<TensorArgument> &tensors, const std::vector<double> &scalars,
                         const std::vector<TensorArgument> &outputs, cuda::Stream stream) {
    TensorArgument arguments[max_buffers];
    double values[max_scalars];
    for (size_t n = 0; n < order.size(); n++) {
        const size_t from = size_t(order[n]);
        arguments[n] = from < tensors.size() ? tensors[from] : outputs[from - tensors.size()];
    }
    for (size_t n = 0; n < scalar_order.size(); n++) {
        values[n] = scalars[scalar_order[n]];
    }
    loaded->launch(arguments, int(order.size()), values, int(scalar_order.size()), stream);
}

}  // namespace strobe
