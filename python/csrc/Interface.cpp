// What the Python package asks of the extension besides running operators; called through ctypes.

#include "Named.h"
#include "Programs.h"

#include "device/Assemble.h"
#include "device/Capability.h"
#include "driver/Compile.h"
#include "driver/Explain.h"
#include "execute/PackageCache.h"
#include "runtime/CudaDriver.h"
#include "support/Error.h"
#include "tile/PrintTiles.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>

namespace {

using namespace strobe;

/** Writes a text and its final 0, cut to fit. Returns the bytes that all of it takes. */
size_t give(const std::string &text, char *to, size_t room) {
    if (room > 0) {
        const size_t n = std::min(text.size(), room - 1);
        memcpy(to, text.data(), n);
        to[n] = 0;
    }
    return text.size() + 1;
}

Halide::Target target_of(const std::string &name) {
    const Halide::Target host = Halide::get_host_target();
    strobe_user_assert(name == "host" || name == "sm_90a") << "there is no target " << name << "; host or sm_90a";
    return name == "host" ? host : host.with_feature(Halide::Target::CUDA);
}

template<typename Body>
int guarded(char *text, size_t room, size_t *needed, const Body &body) {
    int code = 0;
    std::string result;
    try {
        result = body();
    } catch (const UserError &e) {
        code = 1;
        result = e.what();
    } catch (const RuntimeFailure &e) {
        code = 2;
        result = e.what();
    } catch (const Halide::Error &e) {
        code = 1;
        result = e.what();
    } catch (const std::exception &e) {
        code = 3;
        result = e.what();
    }
    *needed = give(result, text, room);
    return code;
}

}  // namespace

// All give 0 and a text, or the kind of an error (1 the user's, 2 the machine's, 3 ours) and what it says.
extern "C" {

__attribute__((visibility("default"))) int strobe_python_explain(const char *algorithm, const char *target,
                                                                 char *text, size_t room, size_t *needed) {
    return guarded(text, room, needed, [&] {
        const std::lock_guard<std::mutex> lock(compiler_mutex());
        const TextAlgorithm a = read_algorithm_text(algorithm);
        const Halide::Target t = target_of(target);
        const Compilation c = compile(a.funcs, t);
        const Capability capability = capability_of(t);
        const ScheduleChoice choice = autoschedule(c.graph, c.plan, capability, Shape(), Schedule());
        std::ostringstream s;
        s << explain(c.graph, c.plan, capability, choice) << "program:\n" << c.program;
        return s.str();
    });
}

/** Nothing, or why the text cannot be compiled for the target: without generating code. */
__attribute__((visibility("default"))) int strobe_python_check(const char *algorithm, const char *target, char *text,
                                                               size_t room, size_t *needed) {
    return guarded(text, room, needed, [&] {
        const std::lock_guard<std::mutex> lock(compiler_mutex());
        compile(read_algorithm_text(algorithm).funcs, target_of(target));
        return std::string();
    });
}

/** Compiles ahead of the first call. */
__attribute__((visibility("default"))) int strobe_python_compile(const char *algorithm, const char *target, char *text,
                                                                 size_t room, size_t *needed) {
    return guarded(text, room, needed, [&] {
        if (std::string(target) == "host") {
            program_of(algorithm).on_host();
        } else {
            program_of(algorithm).for_architecture(target);
        }
        return std::string();
    });
}

/** The number of a new family, as a text. */
__attribute__((visibility("default"))) int strobe_python_new_family(char *text, size_t room, size_t *needed) {
    return guarded(text, room, needed, [] { return std::to_string(new_family()); });
}

__attribute__((visibility("default"))) int strobe_python_add_to_family(const char *family, const char *algorithm, char *text,
                                                                       size_t room, size_t *needed) {
    return guarded(text, room, needed, [&] {
        add_to_family(std::stoll(family), algorithm);
        return std::string();
    });
}

/** Defines the operators of Generators; their names. */
__attribute__((visibility("default"))) int strobe_python_define_named(char *text, size_t room, size_t *needed) {
    return guarded(text, room, needed, [] { return define_named_operators(); });
}

__attribute__((visibility("default"))) int strobe_python_named_shape(const char *name, char *text, size_t room,
                                                                     size_t *needed) {
    return guarded(text, room, needed, [&] { return named_operator_shape(name); });
}

__attribute__((visibility("default"))) int strobe_python_named_declaration(const char *name, const char *arguments,
                                                                           char *text, size_t room, size_t *needed) {
    return guarded(text, room, needed, [&] { return named_operator_declaration(name, arguments); });
}

/** Puts the kernels of an algorithm text, or of a Generator ("causal dtype=bf16 head_dim=64"), into the cache on disk; "kept" if
 * they were there, "compiled" if not, the milliseconds that it took, and those of this process's processor time. */
__attribute__((visibility("default"))) int strobe_python_prepare(const char *algorithm, const char *architecture, char *text,
                                                                 size_t room, size_t *needed) {
    return guarded(text, room, needed, [&] {
        const auto start = std::chrono::steady_clock::now();
        const clock_t ticks = std::clock();
        Program &program = algorithm[0] == '{' ? program_of(algorithm) : program_of(read_generator_use(algorithm));
        const bool kept = program.for_architecture(architecture).from_cache();
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
        const double processor = double(std::clock() - ticks) * 1000 / CLOCKS_PER_SEC;
        return (kept ? "kept " : "compiled ") + std::to_string(time.count()) + " " + std::to_string(processor);
    });
}

/** Compiles the same for an installation: into the folder of the kernels that come with this build of the extension. */
__attribute__((visibility("default"))) int strobe_python_install(const char *algorithm, const char *architecture,
                                                                 const char *folder, char *text, size_t room,
                                                                 size_t *needed) {
    return guarded(text, room, needed, [&] {
        program_of(read_generator_use(algorithm)).install_into(folder, architecture);
        return std::string();
    });
}

/** "name=value" lines about the machine. */
__attribute__((visibility("default"))) int strobe_python_doctor(char *text, size_t room, size_t *needed) {
    return guarded(text, room, needed, [] {
        std::ostringstream s;
        s << "host=" << Halide::get_host_target().to_string() << "\n";
        s << "halide=" << HALIDE_VERSION_MAJOR << "." << HALIDE_VERSION_MINOR << "." << HALIDE_VERSION_PATCH << "\n";
        try {
            s << "ptxas=" << find_ptxas().value_or("") << "\n";
        } catch (const RuntimeFailure &e) {
            s << "ptxas_error=" << e.what() << "\n";
        }
        try {
            int version = 0;
            cuda::driver().driver_get_version(&version);
            s << "driver=" << version / 1000 << "." << version % 1000 / 10 << "\n";
        } catch (const RuntimeFailure &e) {
            s << "driver_error=" << e.what() << "\n";
        }
        s << "cache=" << default_cache_folder() << "\n";
        s << "installed=" << installed_kernels_folder() << "\n";
        try {
            if (!default_cache_folder().empty()) {
                const PackageCache cache(default_cache_folder());
            }
        } catch (const std::exception &e) {
            s << "cache_error=" << e.what() << "\n";
        }
        return s.str();
    });
}

}  // extern "C"
