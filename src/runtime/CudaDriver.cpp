#include "CudaDriver.h"

#include <cstdlib>
#include <dlfcn.h>

#include "support/Error.h"

namespace strobe::cuda {

std::string text_of(const Driver &driver, Result result) {
    const char *text = nullptr, *name = nullptr;
    if (driver.get_error_string(result, &text) != 0 || !text) {
        text = "unknown error";
    }
    if (driver.get_error_name(result, &name) != 0 || !name) {
        name = "no name";
    }
    return std::string(text) + " (" + name + ", " + std::to_string(result) + ")";
}

Driver open_driver(const char *library) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *why = dlerror();
        strobe_runtime_failure() << "no CUDA driver on this machine: " << (why ? why : "cannot open it") << " ("
                                 << library << ")";
    }
    Driver found;
    found.library = library;
#define STROBE_CUDA_FIND(NAME, SYMBOL, ARGUMENTS) \
    found.NAME = reinterpret_cast<decltype(found.NAME)>(dlsym(handle, SYMBOL));
    STROBE_CUDA_REQUIRED(STROBE_CUDA_FIND)
    STROBE_CUDA_OPTIONAL(STROBE_CUDA_FIND)
#undef STROBE_CUDA_FIND
#define STROBE_CUDA_REQUIRE(NAME, SYMBOL, ARGUMENTS)                                     \
    if (!found.NAME) {                                                                   \
        strobe_runtime_failure() << "the CUDA driver " << library << " lacks " << SYMBOL \
                                 << "; Strobe needs a driver for CUDA 11.3 or later";    \
    }
    STROBE_CUDA_REQUIRED(STROBE_CUDA_REQUIRE)
#undef STROBE_CUDA_REQUIRE
    if (Result result = found.init(0)) {
        strobe_runtime_failure() << "cannot initialise the CUDA driver " << library << ": " << text_of(found, result);
    }
    return found;
}

namespace {

struct Opened {
    Driver driver;
    std::string failure;
};

Opened open_once() {
    const char *named = std::getenv("STROBE_LIBCUDA");
    Opened opened;
    try {
        opened.driver = open_driver(named && *named ? named : "libcuda.so.1");
    } catch (const RuntimeFailure &e) {
        opened.failure = e.what();
    }
    return opened;
}

}  // namespace

const Driver &driver() {
    // Never destroyed: packages may be closed while the process ends.
    static const Opened &opened = *new Opened(open_once());
    if (!opened.failure.empty()) {
        throw RuntimeFailure(opened.failure);
    }
    return opened.driver;
}

void fail(Result result, const char *doing) {
    throw RuntimeFailure(std::string(doing) + ": " + text_of(driver(), result));
}

RelaxedCapture::RelaxedCapture() : mode(capture_mode_relaxed) {
    check(driver().thread_exchange_capture_mode(&mode), "cannot leave the stream capture mode");
}

RelaxedCapture::~RelaxedCapture() {
    driver().thread_exchange_capture_mode(&mode);
}

}  // namespace strobe::cuda
