// The operators of torch.ops.strobe, through LibTorch's stable ABI: this file is
// compiled once and serves torch 2.10 and later.

#include "Programs.h"
#include "support/Error.h"

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <atomic>
#include <dlfcn.h>

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using namespace strobe;

Halide::Type type_of_tensor(ScalarType t) {
    switch (t) {
    case ScalarType::Float:
        return Halide::Float(32);
    case ScalarType::Double:
        return Halide::Float(64);
    case ScalarType::Half:
        return Halide::Float(16);
    case ScalarType::BFloat16:
        return Halide::BFloat(16);
    case ScalarType::Char:
        return Halide::Int(8);
    case ScalarType::Short:
        return Halide::Int(16);
    case ScalarType::Int:
        return Halide::Int(32);
    case ScalarType::Long:
        return Halide::Int(64);
    case ScalarType::Byte:
        return Halide::UInt(8);
    case ScalarType::Bool:
        return Halide::Bool();
    default:
        return Halide::Type();
    }
}

int32_t torch_dtype(const Halide::Type &t) {
    if (t == Halide::Float(64)) {
        return aoti_torch_dtype_float64();
    }
    if (t == Halide::Float(16)) {
        return aoti_torch_dtype_float16();
    }
    if (t == Halide::BFloat(16)) {
        return aoti_torch_dtype_bfloat16();
    }
    if (t.is_int()) {
        return t.bits() == 8    ? aoti_torch_dtype_int8()
               : t.bits() == 16 ? aoti_torch_dtype_int16()
               : t.bits() == 32 ? aoti_torch_dtype_int32()
                                : aoti_torch_dtype_int64();
    }
    strobe_user_assert(t == Halide::Float(32) || t == Halide::UInt(8)) << "torch has no element type for " << t;
    return t.is_float() ? aoti_torch_dtype_float32() : aoti_torch_dtype_uint8();
}

std::vector<int64_t> reversed(const torch::headeronly::IntHeaderOnlyArrayRef &values) {
    return {std::make_reverse_iterator(values.end()), std::make_reverse_iterator(values.begin())};
}

/** Sizes of the tensors, after the types and devices were found to fit. */
std::vector<std::vector<int64_t>> checked_sizes(const TextAlgorithm &a, const std::vector<Tensor> &tensors) {
    std::vector<std::vector<int64_t>> sizes;
    for (size_t n = 0; n < tensors.size(); n++) {
        const Tensor &t = tensors[n];
        sizes.push_back(reversed(t.sizes()));
        if (n >= a.tensors.size()) {
            continue;
        }
        const Halide::Type type = type_of_tensor(t.scalar_type());
        if (type != a.tensors[n].type) {
            strobe_user_error() << "In " << a.name << ": " << a.tensors[n].name << " must have elements of type "
                                << a.tensors[n].type << ", got " << type;
        }
        if (t.is_cuda() != tensors[0].is_cuda() || t.get_device_index() != tensors[0].get_device_index()) {
            strobe_user_error() << "In " << a.name << ": " << a.tensors[n].name << " is on another device than "
                                << a.tensors[0].name;
        }
    }
    return sizes;
}

Tensor allocate(const TextTensor &output, const std::vector<int64_t> &sizes, const Tensor &like) {
    const std::vector<int64_t> shape(sizes.rbegin(), sizes.rend());
    std::vector<int64_t> strides(shape.size());
    int64_t stride = 1;
    for (size_t d = shape.size(); d-- > 0;) {
        strides[d] = stride;
        stride *= std::max<int64_t>(shape[d], 1);
    }
    AtenTensorHandle handle = nullptr;
    const int32_t device = like.is_cuda() ? aoti_torch_device_type_cuda() : aoti_torch_device_type_cpu();
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(int64_t(shape.size()), shape.data(), strides.data(),
                                                           torch_dtype(output.type), device, like.get_device_index(),
                                                           &handle));
    return Tensor(handle);
}

std::vector<Tensor> allocate_outputs(const TextAlgorithm &a, const std::vector<Tensor> &tensors,
                                     const std::vector<double> &scalars, bool &empty) {
    strobe_user_assert(!tensors.empty()) << "In " << a.name << ": there are no tensors";
    const std::vector<std::vector<int64_t>> sizes = output_sizes(a, checked_sizes(a, tensors));
    check_scalar_values(a, scalars);
    std::vector<Tensor> outputs;
    empty = true;
    for (size_t n = 0; n < sizes.size(); n++) {
        outputs.push_back(allocate(a.outputs[n], sizes[n], tensors[0]));
        empty = empty && outputs.back().numel() == 0;
    }
    return outputs;
}

HostTensor host_tensor(const Tensor &t) {
    return {t.data_ptr(), reversed(t.sizes()), reversed(t.strides())};
}

/** Halide's threads are as many as torch's. */
void follow_thread_count() {
    static std::atomic<uint32_t> known{0};
    uint32_t count = 0;
    if (torch_get_num_threads(&count) == 0 && count > 0 && known.exchange(count) != count) {
        Halide::Internal::JITSharedRuntime::set_num_threads(int(count));
    }
}

std::vector<Tensor> attention_cpu(std::string algorithm, std::vector<Tensor> tensors, std::vector<double> scalars) {
    const std::shared_ptr<const CpuProgram> program = cpu_program(algorithm);
    bool empty = false;
    const std::vector<Tensor> outputs = allocate_outputs(program->algorithm(), tensors, scalars, empty);
    if (!empty) {
        std::vector<HostTensor> in, out;
        for (const Tensor &t : tensors) {
            in.push_back(host_tensor(t));
        }
        for (const Tensor &t : outputs) {
            out.push_back(host_tensor(t));
        }
        follow_thread_count();
        program->run(in, scalars, out);
    }
    return outputs;
}

TensorArgument device_tensor(const Tensor &t, const Halide::Type &type) {
    TensorArgument a;
    a.address = reinterpret_cast<uint64_t>(t.data_ptr());
    const Halide::Type stored = type.is_bool() ? Halide::UInt(8) : type;
    a.type = {uint8_t(stored.code()), uint8_t(stored.bits())};
    a.rank = int32_t(t.dim());
    for (int32_t d = 0; d < a.rank; d++) {
        a.sizes[d] = t.sizes()[a.rank - 1 - d];
        a.strides[d] = t.strides()[a.rank - 1 - d];
    }
    return a;
}

/** LibTorch's CUDA half is not there in CPU builds, so it is asked for at run time. */
cuda::Stream current_stream(int32_t device) {
    using Get = AOTITorchError (*)(int32_t, void **);
    static const Get get = [] {
        void *library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
        return library ? reinterpret_cast<Get>(dlsym(library, "aoti_torch_get_current_cuda_stream")) : nullptr;
    }();
    void *stream = nullptr;
    if (!get || get(device, &stream) != 0) {
        strobe_runtime_failure() << "this torch has no CUDA streams";
    }
    return static_cast<cuda::Stream>(stream);
}

std::vector<Tensor> attention_cuda(std::string algorithm, std::vector<Tensor> tensors, std::vector<double> scalars) {
    strobe_user_assert(!tensors.empty()) << "there are no tensors";
    const int32_t device = tensors[0].get_device_index();
    const torch::stable::accelerator::DeviceGuard guard(device);
    make_context_current(device);
    const std::shared_ptr<CudaProgram> program = cuda_program(algorithm, device);
    const TextAlgorithm &a = program->algorithm();
    bool empty = false;
    const std::vector<Tensor> outputs = allocate_outputs(a, tensors, scalars, empty);
    if (!empty) {
        std::vector<TensorArgument> in, out;
        for (size_t n = 0; n < tensors.size(); n++) {
            in.push_back(device_tensor(tensors[n], a.tensors[n].type));
        }
        for (size_t n = 0; n < outputs.size(); n++) {
            out.push_back(device_tensor(outputs[n], a.outputs[n].type));
        }
        program->launch(in, scalars, out, current_stream(device));
    }
    return outputs;
}

}  // namespace

STABLE_TORCH_LIBRARY(strobe, m) {
    m.def("attention(str algorithm, Tensor[] tensors, float[] scalars) -> Tensor[]");
}

STABLE_TORCH_LIBRARY_IMPL(strobe, CPU, m) {
    m.impl("attention", TORCH_BOX(&attention_cpu));
}

STABLE_TORCH_LIBRARY_IMPL(strobe, CUDA, m) {
    m.impl("attention", TORCH_BOX(&attention_cuda));
}
