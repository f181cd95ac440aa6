#include "strobe/runtime.h"

#include <cstring>
#include <new>

#include "runtime/Describe.h"
#include "runtime/Launch.h"
#include "support/Error.h"

struct strobe_package {
    strobe::LoadedPackage loaded;
    std::string description;
    explicit strobe_package(strobe::KernelPackage package)
        : loaded(std::move(package)), description(strobe::describe_package(loaded.package())) {
    }
};

namespace {

using namespace strobe;

static_assert(strobe_max_rank == max_rank, "the public header repeats the bound");

thread_local std::string last_error;

/** Runs `body`; turns what it throws into a code and a text. */
template<typename Body>
int guarded(const Body &body) {
    try {
        body();
        return strobe_success;
    } catch (const UserError &e) {
        last_error = e.what();
        return strobe_error_argument;
    } catch (const RuntimeFailure &e) {
        last_error = e.what();
        return strobe_error_runtime;
    } catch (const std::bad_alloc &) {
        last_error = "out of host memory";
        return strobe_error_runtime;
    } catch (const std::exception &e) {
        last_error = e.what();
        return strobe_error_internal;
    }
}

/** The caller's tensors as the runtime's. */
class Tensors {
public:
    Tensors(const LoadedPackage &loaded, const strobe_tensor *tensors, int count) {
        if (count < 0 || count > max_buffers || (count > 0 && !tensors)) {
            strobe_user_error() << "In " << loaded.package().name << ": got " << count << " tensors"
                                << (tensors ? "" : " at a null pointer") << ", expected "
                                << loaded.package().buffers.size() << ".";
        }
        for (int i = 0; i < count; i++) {
            const strobe_tensor &from = tensors[i];
            TensorArgument &to = *new (arguments + i) TensorArgument;
            to.address = reinterpret_cast<uint64_t>(from.data);
            to.type = {from.type_code, from.type_bits};
            to.rank = from.rank;
            memcpy(to.sizes, from.sizes, sizeof(to.sizes));
            memcpy(to.strides, from.strides, sizeof(to.strides));
        }
    }
    const TensorArgument *begin() const {
        return arguments;
    }

private:
    // Only the elements in use are made: a launch should not clear all of them.
    union {
        TensorArgument arguments[max_buffers];
    };
};

void require(const void *pointer, const char *what) {
    if (!pointer) {
        strobe_user_error() << what << " is a null pointer";
    }
}

}  // namespace

extern "C" {

strobe_package *strobe_package_open(const uint8_t *data, size_t size) {
    strobe_package *package = nullptr;
    guarded([&] {
        require(data, "the package's data");
        package = new strobe_package(parse_package(data, size));
    });
    return package;
}

void strobe_package_close(strobe_package *package) {
    delete package;
}

int strobe_package_load(strobe_package *package) {
    return guarded([&] {
        require(package, "the package");
        package->loaded.load();
    });
}

const char *strobe_package_describe(strobe_package *package) {
    const char *text = nullptr;
    guarded([&] {
        require(package, "the package");
        text = package->description.c_str();
    });
    return text;
}

int strobe_launch_in(strobe_package *package, const strobe_tensor *tensors, int num_tensors, const double *scalars,
                     int num_scalars, void *cuda_stream, int plan, void *workspace, size_t workspace_bytes) {
    return guarded([&] {
        require(package, "the package");
        if (num_scalars > 0) {
            require(scalars, "the array of scalars");
        }
        const Tensors converted(package->loaded, tensors, num_tensors);
        LaunchOptions options;
        options.plan = plan;
        options.workspace = reinterpret_cast<uint64_t>(workspace);
        options.workspace_bytes = workspace_bytes;
        package->loaded.launch(converted.begin(), num_tensors, scalars, num_scalars,
                               static_cast<strobe::cuda::Stream>(cuda_stream), options);
    });
}

int strobe_launch(strobe_package *package, const strobe_tensor *tensors, int num_tensors, const double *scalars,
                  int num_scalars, void *cuda_stream, int plan) {
    return strobe_launch_in(package, tensors, num_tensors, scalars, num_scalars, cuda_stream, plan, nullptr, 0);
}

int64_t strobe_workspace_bytes(strobe_package *package, const strobe_tensor *tensors, int num_tensors, int plan) {
    int64_t bytes = -1;
    guarded([&] {
        require(package, "the package");
        const Tensors converted(package->loaded, tensors, num_tensors);
        bytes = int64_t(package->loaded.workspace_bytes(converted.begin(), num_tensors, plan));
    });
    return bytes;
}

const char *strobe_last_error(void) {
    return last_error.c_str();
}

}  // extern "C"
