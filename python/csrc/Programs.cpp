#include "Programs.h"

#include "execute/PackageCache.h"
#include "runtime/CudaDriver.h"
#include "support/Error.h"
#include "support/Log.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
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

/** GPU code by architecture and text. */
Programs<CudaProgram> &cuda_programs() {
    static auto *all = new Programs<CudaProgram>();
    return *all;
}

Programs<Program> &text_programs() {
    static auto *all = new Programs<Program>();
    return *all;
}

struct Families {
    std::shared_mutex mutex;
    std::vector<std::vector<Program *>> members;
};

Families &families() {
    static auto *all = new Families();
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

const PackageCache &installed_kernels() {
    static auto *kernels = new PackageCache(PackageCache::installed(installed_kernels_folder()));
    return *kernels;
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

bool is_device_current(int device) {
    const cuda::Driver &driver = cuda::driver();
    cuda::Context context = nullptr;
    cuda::Device current = -1;
    return driver.ctx_get_current(&context) == 0 && context && driver.ctx_get_device(&current) == 0 && current == device;
}

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

Program::Program(std::string k, std::function<TextAlgorithm()> r)
    : key(std::move(k)), read(std::move(r)), the_algorithm(read_in_turn()), matcher(the_algorithm) {
}

TextAlgorithm Program::read_in_turn() const {
    const std::lock_guard<std::mutex> lock(compiler_mutex());
    return read();
}

const CpuProgram &Program::on_host() {
    const CpuProgram *code = host.load(std::memory_order_acquire);
    if (!code) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!host_code) {
            host_code = std::make_shared<const CpuProgram>(read);
            host.store(host_code.get(), std::memory_order_release);
        }
        code = host_code.get();
    }
    return *code;
}

CudaProgram &Program::on_device(int device) {
    if (device < 0 || device >= max_devices) {
        strobe_user_error() << "there is no CUDA device " << device << "; legal are 0 to " << max_devices - 1;
    }
    CudaProgram *code = devices[device].load(std::memory_order_acquire);
    if (!code) {
        code = &for_architecture(architecture_of(device));
        devices[device].store(code, std::memory_order_release);
    }
    return *code;
}

CudaProgram &Program::for_architecture(const std::string &architecture) {
    return *cuda_programs().get(architecture + "\n" + key, [&] {
        return std::make_shared<CudaProgram>(read_in_turn(), key, architecture, disk_cache(), &installed_kernels());
    });
}

void Program::install_into(const std::string &folder, const std::string &architecture) {
    const CudaProgram &program = for_architecture(architecture);
    PackageCache::installed(folder).publish(installed_package_key(key, architecture), program.package());
}

std::string installed_kernels_folder() {
    if (const char *given = getenv("STROBE_KERNELS")) {
        return given;
    }
    Dl_info info = {};
    const bool found = dladdr(reinterpret_cast<const void *>(&installed_kernels_folder), &info) && info.dli_fname;
    const std::string library = found ? info.dli_fname : "";
    const size_t slash = library.rfind('/');
    return (slash == std::string::npos ? "." : library.substr(0, slash)) + "/kernels";
}

Program &program_of(const std::string &text) {
    return *text_programs().get(text, [&] {
        return std::make_shared<Program>(text, [text] { return read_algorithm_text(text); });
    });
}

Program &program_of(const GeneratorUse &use) {
    const std::string key = use.key();
    return *text_programs().get(key, [&] {
        return std::make_shared<Program>(key, [use] { return generator_algorithm(use); });
    });
}

int64_t new_family() {
    Families &all = families();
    const std::unique_lock<std::shared_mutex> lock(all.mutex);
    all.members.emplace_back();
    return int64_t(all.members.size()) - 1;
}

void add_to_family(int64_t family, const std::string &text) {
    add_to_family(family, program_of(text));
}

void add_to_family(int64_t family, Program &program) {
    Families &all = families();
    const std::unique_lock<std::shared_mutex> lock(all.mutex);
    strobe_user_assert(family >= 0 && family < int64_t(all.members.size())) << "there is no family " << family;
    std::vector<Program *> &members = all.members[family];
    if (std::find(members.begin(), members.end(), &program) == members.end()) {
        members.push_back(&program);
    }
}

Program *find_in_family(int64_t family, const std::function<bool(Program &)> &fits) {
    Families &all = families();
    const std::shared_lock<std::shared_mutex> lock(all.mutex);
    if (family >= 0 && family < int64_t(all.members.size())) {
        for (Program *program : all.members[family]) {
            if (fits(*program)) {
                return program;
            }
        }
    }
    return nullptr;
}

}  // namespace strobe
