#include "HalideEntry.h"

#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include <HalideRuntime.h>

#include "runtime/Launch.h"
#include "support/Error.h"

// Of the Halide runtime, which is linked in by ahead-of-time code only.
extern "C" {
__attribute__((weak)) void halide_error(void *user_context, const char *text);
__attribute__((weak)) const halide_device_interface_t *halide_cuda_device_interface();
__attribute__((weak)) int halide_cuda_acquire_context(void *user_context, void **context, bool create);
__attribute__((weak)) int halide_cuda_release_context(void *user_context);
__attribute__((weak)) int halide_cuda_get_stream(void *user_context, void *context, void **stream);
}

namespace strobe {

namespace {

/** A failure that Halide's runtime has already reported. */
struct HalideFailure {
    int code;
};

void check_halide(int code) {
    if (code != 0) {
        throw HalideFailure{code};
    }
}

/** The package at an address, parsed at its first use. An address may come to hold
 * another package, so its size and checksum are part of its name. */
LoadedPackage &package_at(const uint8_t *data, int64_t size) {
    using Key = std::tuple<const uint8_t *, int64_t, uint64_t>;
    // Never destroyed: the driver may be gone before static objects are.
    static std::mutex &mutex = *new std::mutex;
    static auto &packages = *new std::map<Key, std::unique_ptr<LoadedPackage>>;
    if (!data || size < 0) {
        strobe_runtime_failure() << "a Halide pipeline passed no kernel package";
    }
    const Key key{data, size, stored_checksum(data, size_t(size))};
    const std::lock_guard<std::mutex> lock(mutex);
    std::unique_ptr<LoadedPackage> &entry = packages[key];
    if (!entry) {
        entry = std::make_unique<LoadedPackage>(parse_package(data, size_t(size)));
    }
    return *entry;
}

bool is_empty(const halide_buffer_t &buffer) {
    for (int d = 0; d < buffer.dimensions; d++) {
        if (buffer.dim[d].extent == 0) {
            return true;
        }
    }
    return false;
}

TensorArgument tensor_of(const halide_buffer_t &buffer) {
    TensorArgument tensor;
    tensor.address = is_empty(buffer) ? 0 : buffer.device;
    tensor.type = {uint8_t(buffer.type.code), buffer.type.bits};
    tensor.rank = buffer.dimensions;
    for (int d = 0; d < buffer.dimensions; d++) {
        tensor.sizes[d] = buffer.dim[d].extent;
        tensor.strides[d] = buffer.dim[d].stride;
        tensor.mins[d] = buffer.dim[d].min;
    }
    return tensor;
}

/** Brings a buffer to the device: its content if the pipeline reads it, memory only if it writes it. */
void place_on_device(void *user_context, const halide_device_interface_t *interface, const BufferSpec &spec,
                     halide_buffer_t *buffer) {
    if (!buffer) {
        strobe_user_error() << spec.name << " is a null buffer";
    }
    if (buffer->dimensions < 0 || buffer->dimensions > max_rank) {
        strobe_user_error() << spec.name << " has " << buffer->dimensions << " dimensions; legal are at most "
                            << max_rank;
    }
    if (is_empty(*buffer)) {
        return;
    }
    if (spec.output) {
        check_halide(interface->device_malloc(user_context, buffer, interface));
    } else {
        check_halide(interface->copy_to_device(user_context, buffer, interface));
    }
}

/** Makes Halide's context current for a while; finds Halide's stream. */
class HalideContext {
public:
    cuda::Stream stream = nullptr;

    HalideContext(void *user_context, const TensorArgument *tensors, int count) : user_context(user_context) {
        void *context = nullptr;
        if (halide_cuda_acquire_context) {
            check_halide(halide_cuda_acquire_context(user_context, &context, true));
            acquired = true;
        } else {
            context = context_of(tensors, count);
        }
        try {
            cuda::check(cuda::driver().ctx_push_current(static_cast<cuda::Context>(context)),
                        "cannot enter Halide's CUDA context");
        } catch (...) {
            release();
            throw;
        }
        if (halide_cuda_get_stream) {
            void *found = nullptr;
            if (int code = halide_cuda_get_stream(user_context, context, &found)) {
                leave();
                throw HalideFailure{code};
            }
            stream = static_cast<cuda::Stream>(found);
        }
    }
    ~HalideContext() {
        leave();
    }
    HalideContext(const HalideContext &) = delete;
    HalideContext &operator=(const HalideContext &) = delete;

private:
    static void *context_of(const TensorArgument *tensors, int count) {
        void *context = nullptr;
        for (int i = 0; i < count && !context; i++) {
            if (tensors[i].address) {
                cuda::check(cuda::driver().pointer_get_attribute(&context, cuda::pointer_context, tensors[i].address),
                            "cannot find the CUDA context of a buffer");
            }
        }
        return context;
    }
    void leave() {
        cuda::Context popped = nullptr;
        cuda::driver().ctx_pop_current(&popped);
        release();
    }
    void release() {
        if (acquired && halide_cuda_release_context) {
            halide_cuda_release_context(user_context);
        }
    }

    void *user_context;
    bool acquired = false;
};

void run(void *user_context, const halide_device_interface_t *interface, LoadedPackage &loaded,
         halide_buffer_t **buffers, int num_buffers, const double *scalars, int num_scalars) {
    const KernelPackage &package = loaded.package();
    if (num_buffers != int(package.buffers.size())) {
        strobe_user_error() << "In " << package.name << ": got " << num_buffers << " buffers, expected "
                            << package.buffers.size() << ".";
    }
    TensorArgument tensors[max_buffers];
    bool any_output = false;
    for (int i = 0; i < num_buffers; i++) {
        place_on_device(user_context, interface, package.buffers[i], buffers[i]);
        tensors[i] = tensor_of(*buffers[i]);
        any_output |= package.buffers[i].output && !is_empty(*buffers[i]);
    }
    if (!any_output) {
        return;
    }
    const HalideContext context(user_context, tensors, num_buffers);
    loaded.launch(tensors, num_buffers, scalars, num_scalars, context.stream);
    for (int i = 0; i < num_buffers; i++) {
        if (package.buffers[i].output && !is_empty(*buffers[i])) {
            buffers[i]->set_device_dirty(true);
            buffers[i]->set_host_dirty(false);
        }
    }
}

int report(void *user_context, int code, const std::string &text) {
    const std::string message = "Strobe: " + text;
    if (halide_error) {
        halide_error(user_context, message.c_str());
    } else {
        fprintf(stderr, "%s\n", message.c_str());
    }
    return code;
}

}  // namespace

}  // namespace strobe

extern "C" int strobe_halide_run_on(void *user_context, const halide_device_interface_t *interface,
                                    const uint8_t *package, int64_t size, halide_buffer_t **buffers, int num_buffers,
                                    const double *scalars, int num_scalars) {
    using namespace strobe;
    try {
        if (!interface) {
            strobe_runtime_failure() << "this program was compiled without Halide's CUDA runtime; add the feature "
                                        "\"cuda\" to its target";
        }
        run(user_context, interface, package_at(package, size), buffers, num_buffers, scalars, num_scalars);
        return halide_error_code_success;
    } catch (const HalideFailure &e) {
        return e.code;
    } catch (const UserError &e) {
        return report(user_context, halide_error_code_generic_error, e.what());
    } catch (const RuntimeFailure &e) {
        return report(user_context, halide_error_code_device_run_failed, e.what());
    } catch (const std::exception &e) {
        return report(user_context, halide_error_code_internal_error, e.what());
    }
}

extern "C" int strobe_halide_run(void *user_context, const uint8_t *package, int64_t size, halide_buffer_t **buffers,
                                 int num_buffers, const double *scalars, int num_scalars) {
    const halide_device_interface_t *interface =
        halide_cuda_device_interface ? halide_cuda_device_interface() : nullptr;
    return strobe_halide_run_on(user_context, interface, package, size, buffers, num_buffers, scalars, num_scalars);
}
