#include "Programs.h"

#include "execute/PackageCache.h"
#include "runtime/CudaDriver.h"
#include "support/Error.h"
#include "support/Log.h"

#include <mutex>
#include <shared_mutex>
#include <unordered_map>

namespace strobe {

namespace {

template<typename Program>
class Programs {
    struct Entry {
        std::mutex mutex;
        std::shared_ptr<Program> program;
    };
    std::shared_mutex mutex;
    std::unordered_map<std::string, std::shared_ptr<Entry>> entries;

    std::shared_ptr<Entry> entry(const std::string &key) {
        {
            const std::shared_lock<std::shared_mutex> lock(mutex);
            auto it = entries.find(key);
            if (it != entries.end()) {
                return it->second;
            }
        }
        const std::unique_lock<std::shared_mutex> lock(mutex);
        std::shared_ptr<Entry> &e = entries[key];
        if (!e) {
            e = std::make_shared<Entry>();
        }
        return e;
    }

public:
    template<typename Make>
    std::shared_ptr<Program> get(const std::string &key, const Make &make) {
        const std::shared_ptr<Entry> e = entry(key);
        std::shared_ptr<Program> program = std::atomic_load(&e->program);
        if (!program) {
            const std::lock_guard<std::mutex> lock(e->mutex);
            if (!e->program) {
                std::atomic_store(&e->program, make());
            }
            program = e->program;
        }
        return program;
    }
};

/** Left behind at exit: the CUDA driver and Halide's runtime may be gone before static objects are. */
template<typename Program>
Programs<Program> &programs() {
    static auto *all = new Programs<Program>();
    return *all;
}

/** Null without a usable folder, which is no reason to stop. */
PackageCache *disk_cache() {
    static PackageCache *cache = []() -> PackageCache * {
        const std::string folder = default_cache_folder();
        try {
            return folder.empty() ? nullptr : new PackageCache(folder);
        } catch (const std::exception &e) {
            strobe_debug(0) << "strobe: compiled kernels are not kept: " << e.what() << "\n";
            return nullptr;
        }
    }();
    return cache;
}

std::string architecture_of(int device) {
    static std::mutex mutex;
    static std::unordered_map<int, std::string> known;
    const std::lock_guard<std::mutex> lock(mutex);
    std::string &name = known[device];
    if (name.empty()) {
        int major = 0, minor = 0;
        const cuda::Driver &driver = cuda::driver();
        cuda::check(driver.device_get_attribute(&major, cuda::attribute_capability_major, device), "cuDeviceGetAttribute");
        cuda::check(driver.device_get_attribute(&minor, cuda::attribute_capability_minor, device), "cuDeviceGetAttribute");
        name = "sm_" + std::to_string(major) + std::to_string(minor) + (major >= 9 ? "a" : "");
    }
    return name;
}

}  // namespace

void make_context_current(int device) {
    const cuda::Driver &driver = cuda::driver();
    cuda::Context context = nullptr;
    cuda::check(driver.ctx_get_current(&context), "cuCtxGetCurrent");
    if (!context && driver.device_primary_ctx_retain && driver.ctx_set_current) {
        // Torch holds the primary context for as long as the process runs; so do we.
        cuda::check(driver.device_primary_ctx_retain(&context, device), "cuDevicePrimaryCtxRetain");
        cuda::check(driver.ctx_set_current(context), "cuCtxSetCurrent");
    }
}

std::shared_ptr<const CpuProgram> cpu_program(const std::string &text) {
    return programs<CpuProgram>().get(text, [&] { return std::make_shared<CpuProgram>(text); });
}

std::shared_ptr<CudaProgram> cuda_program_for(const std::string &text, const std::string &architecture) {
    return programs<CudaProgram>().get(architecture + "\n" + text, [&] {
        return std::make_shared<CudaProgram>(text, architecture, disk_cache());
    });
}

std::shared_ptr<CudaProgram> cuda_program(const std::string &text, int device) {
    return cuda_program_for(text, architecture_of(device));
}

}  // namespace strobe
