#ifndef STROBE_TESTS_RUNTIME_HALIDE_BUFFERS_H
#define STROBE_TESTS_RUNTIME_HALIDE_BUFFERS_H

/** \file
 * Halide buffers for sample_package(), and a device interface that records what is asked of it. */

#include <HalideRuntime.h>

#include "runtime/Fixture.h"

namespace strobe {

struct RecordedDevice {
    std::vector<std::string> calls;  // "copy 0x...": by the address that the buffer gets
    int fail_with = 0;
};

inline RecordedDevice &recorded_device() {
    static RecordedDevice device;
    return device;
}

inline const halide_device_interface_t *recording_interface() {
    static const halide_device_interface_t interface = [] {
        halide_device_interface_t made = {};
        made.device_malloc = [](void *, halide_buffer_t *buffer, const halide_device_interface_t *) {
            if (!buffer->device) {
                buffer->device = reinterpret_cast<uint64_t>(buffer->host) + 0x100000000;
                recorded_device().calls.push_back("malloc");
            }
            return recorded_device().fail_with;
        };
        made.copy_to_device = [](void *context, halide_buffer_t *buffer, const halide_device_interface_t *self) {
            self->device_malloc(context, buffer, self);
            if (buffer->host_dirty()) {
                recorded_device().calls.push_back("copy");
                buffer->set_host_dirty(false);
            }
            return recorded_device().fail_with;
        };
        return made;
    }();
    return &interface;
}

/** The sample's tensors as Halide buffers whose inputs have new content on the host. */
struct HalideBuffers {
    std::vector<halide_buffer_t> buffers;
    std::vector<std::vector<halide_dimension_t>> dims;
    std::vector<halide_buffer_t *> pointers;

    explicit HalideBuffers(const std::vector<TensorArgument> &tensors) {
        buffers.resize(tensors.size());
        dims.resize(tensors.size());
        for (size_t i = 0; i < tensors.size(); i++) {
            const TensorArgument &tensor = tensors[i];
            for (int d = 0; d < tensor.rank; d++) {
                dims[i].emplace_back(tensor.mins[d], int32_t(tensor.sizes[d]), int32_t(tensor.strides[d]));
            }
            halide_buffer_t &buffer = buffers[i];
            buffer = {};
            buffer.host = reinterpret_cast<uint8_t *>(tensor.address);
            buffer.type = halide_type_t(halide_type_code_t(tensor.type.code), tensor.type.bits);
            buffer.dimensions = tensor.rank;
            buffer.dim = dims[i].data();
            buffer.set_host_dirty(i < 3);
            pointers.push_back(&buffer);
        }
    }
};

}  // namespace strobe

#endif
