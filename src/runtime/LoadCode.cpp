#include "LoadCode.h"

#include <cctype>
#include <cstdlib>

#include "support/Error.h"

namespace strobe {

namespace {

int device_attribute(int attribute) {
    const cuda::Driver &driver = cuda::driver();
    cuda::Device device = 0;
    int value = 0;
    cuda::check(driver.ctx_get_device(&device), "cannot find the device of the current CUDA context");
    cuda::check(driver.device_get_attribute(&value, attribute, device), "cannot read an attribute of the device");
    return value;
}

/** "sm_90a": the letter means that exactly this device is needed; otherwise
 * machine code runs on later minor versions, and PTX on any later device. */
void check_architecture(const KernelPackage &package) {
    const std::string &name = package.architecture;
    const int major = device_attribute(cuda::attribute_capability_major);
    const int minor = device_attribute(cuda::attribute_capability_minor);
    char *end = nullptr;
    const long number = name.rfind("sm_", 0) == 0 ? std::strtol(name.c_str() + 3, &end, 10) : 0;
    const bool known = number >= 10 && number < 10000 && (*end == 0 || (std::isalpha(*end) && end[1] == 0));
    if (!known) {
        strobe_runtime_failure() << "kernel package " << package.name << " is for the architecture \"" << name
                                 << "\", which is not of the form sm_90a";
    }
    const int want_major = int(number / 10), want_minor = int(number % 10);
    const bool exactly = *end == 'a', same_family = *end == 'f' || !package.is_ptx;
    const bool runs = exactly       ? major == want_major && minor == want_minor
                      : same_family ? major == want_major && minor >= want_minor
                                    : major * 10 + minor >= number;
    if (!runs) {
        strobe_runtime_failure() << "kernel package " << package.name << " is compiled for " << name
                                 << ", the current device is sm_" << major << minor << "; compile it for this device";
    }
}

cuda::Module load_module(const KernelPackage &package) {
    const cuda::Driver &driver = cuda::driver();
    std::vector<char> log(16384, 0);
    int options[] = {cuda::jit_error_log_buffer, cuda::jit_error_log_buffer_size};
    void *values[] = {log.data(), reinterpret_cast<void *>(log.size() - 1)};
    cuda::Module module = nullptr;
    const cuda::Result result = driver.module_load_data_ex(&module, package.code.c_str(), 2, options, values);
    if (result != 0) {
        strobe_runtime_failure() << "the CUDA driver refused the " << (package.is_ptx ? "PTX" : "machine code")
                                 << " of " << package.name << " (" << package.architecture
                                 << "): " << cuda::text_of(driver, result) << (log[0] ? "\n" : "") << log.data();
    }
    return module;
}

cuda::Function load_function(const KernelPackage &package, const KernelSpec &kernel, cuda::Module module) {
    const cuda::Driver &driver = cuda::driver();
    cuda::Function function = nullptr;
    if (cuda::Result result = driver.module_get_function(&function, module, kernel.entry.c_str())) {
        strobe_runtime_failure() << "the code of " << package.name << " has no kernel " << kernel.entry << ": "
                                 << cuda::text_of(driver, result);
    }
    if (driver.func_load) {
        cuda::check(driver.func_load(function), "cannot load a kernel");
    }
    int threads = 0;  // asking loads the kernel where cuFuncLoad is missing
    cuda::check(driver.func_get_attribute(&threads, cuda::function_max_threads, function), "cannot load a kernel");
    if (threads < kernel.threads) {
        strobe_runtime_failure() << "kernel " << kernel.entry << " of " << package.name << " launches "
                                 << kernel.threads << " threads a block, its registers allow " << threads;
    }
    int shared = 0;  // another plan may launch the same kernel with more
    cuda::check(driver.func_get_attribute(&shared, cuda::function_max_dynamic_shared, function),
                "cannot load a kernel");
    if (kernel.shared_bytes > shared) {
        const cuda::Result result =
            driver.func_set_attribute(function, cuda::function_max_dynamic_shared, kernel.shared_bytes);
        if (result != 0) {
            strobe_runtime_failure() << "kernel " << kernel.entry << " of " << package.name << " asks for "
                                     << kernel.shared_bytes << " bytes of shared memory, the device offers "
                                     << device_attribute(cuda::attribute_max_shared_optin) << ": "
                                     << cuda::text_of(driver, result);
        }
    }
    return function;
}

}  // namespace

LoadedCode load_code(const KernelPackage &package) {
    check_architecture(package);
    const cuda::RelaxedCapture relaxed;
    LoadedCode code;
    code.multiprocessors = device_attribute(cuda::attribute_multiprocessors);
    code.module = load_module(package);
    try {
        for (const LaunchPlan &plan : package.plans) {
            code.functions.emplace_back();
            for (const KernelSpec &kernel : plan.kernels) {
                code.functions.back().push_back(load_function(package, kernel, code.module));
            }
        }
    } catch (...) {
        cuda::driver().module_unload(code.module);
        throw;
    }
    return code;
}

}  // namespace strobe
