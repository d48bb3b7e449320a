// SPDX-License-Identifier: MIT
// loader.cpp - loader.c in C++17: every module of a checkpoint as floats and as codes, and their sums.
//
//     c++ -std=c++17 loader.cpp $(pkg-config --cflags --libs tare) -lcrypto -o loader
//     ./loader CHECKPOINT
//
// A line a module, as loader.c prints it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <tare.h>

namespace {

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Calls a function of tare.h whose last argument is the error, which becomes an exception.
template <typename Function, typename... Arguments> void call(Function function, Arguments... arguments)
{
    tare_error error{};
    if (const tare_code code = function(arguments..., &error); code != TARE_OK)
        throw Failure(std::string(error.where) + ": " + (error.text[0] ? error.text : tare_code_name(code)));
}

struct Release {
    void operator()(tare_model *model) const { tare_model_free(model); }
    void operator()(tare_reader *reader) const { tare_reader_free(reader); }
};
using Model = std::unique_ptr<tare_model, Release>;

// One tensor of a model. All that it gives belongs to the caller.
class Tensor {
  public:
    Tensor(const Model &model, const char *name, tare_view view)
    {
        tare_reader *reader = nullptr;
        call(tare_reader_open, &reader, model.get(), name, view);
        reader_.reset(reader);
    }

    const tare_tensor_info &info() const { return *tare_reader_info(reader_.get()); }

    std::vector<float> floats() const
    {
        std::vector<float> values(count());
        call(tare_read_floats, reader_.get(), 0, info().rows, "float32", values.data(), values.size());
        return values;
    }

    // The largest difference between the floats and scale * code + offset.
    double distance(const std::vector<float> &values) const
    {
        const tare_tensor_info &t = info();
        const auto columns = static_cast<std::size_t>(t.columns), groups = static_cast<std::size_t>(t.groups);
        std::vector<std::uint8_t> codes(count());
        std::vector<float> scales(count() / columns * groups), offsets(scales.size());
        std::vector<std::int32_t> group(columns);
        call(tare_read_codes, reader_.get(), 0, t.rows, codes.data(), scales.data(), offsets.data());
        call(tare_reader_groups, reader_.get(), group.data(), group.size());
        double most = 0;
        for (std::size_t k = 0; k < codes.size(); k++) {
            const std::size_t g = k / columns * groups + static_cast<std::size_t>(group[k % columns]);
            const double number = t.codes == TARE_CODES_FLOAT ? double{t.table[codes[k]]} : double{1} * codes[k];
            most = std::max(most, std::fabs(double{scales[g]} * number + double{offsets[g]} - double{values[k]}));
        }
        return most;
    }

  private:
    std::size_t count() const { return static_cast<std::size_t>(info().rows * info().columns); }

    std::unique_ptr<tare_reader, Release> reader_;
};

std::string sha256(const std::vector<float> &values)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (!EVP_Digest(values.data(), values.size() * sizeof(float), sum, &size, EVP_sha256(), nullptr))
        throw Failure("sha256 failed");
    std::string text;
    for (unsigned int k = 0; k < size; k++) {
        text += "0123456789abcdef"[sum[k] / 16];
        text += "0123456789abcdef"[sum[k] % 16];
    }
    return text;
}

void load(const Model &model, const char *name)
{
    const Tensor tensor(model, name, TARE_VIEW_SOURCE);
    const tare_tensor_info &info = tensor.info();
    std::vector<float> values = tensor.floats();
    const bool has_codes = info.codes != TARE_CODES_NONE;
    const double most = has_codes ? tensor.distance(values) : 0;
    for (float &value : values)
        value += 0.0F; // -0 + 0 is 0: producers differ in the sign of a zero
    std::printf("%s %s %s ", sha256(values).c_str(), info.name, info.packing);
    if (has_codes)
        std::printf("%.3g\n", most);
    else
        std::printf("-\n");
}

void load_all(const char *path)
{
    tare_model *plan = nullptr;
    tare_error error{};
    const tare_code code = tare_plan(&plan, path, nullptr, &error);
    const Model model(plan); // there may be one that does not load
    if (code != TARE_OK)
        throw Failure(std::string(error.where) + ": " + (error.text[0] ? error.text : tare_code_name(code)));
    std::vector<const char *> names(tare_model_names(model.get(), TARE_VIEW_SOURCE, nullptr, 0));
    tare_model_names(model.get(), TARE_VIEW_SOURCE, names.data(), names.size());
    for (const char *name : names)
        load(model, name);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: loader CHECKPOINT\n");
        return 2;
    }
    try {
        load_all(argv[1]);
    } catch (const std::exception &failure) {
        std::fprintf(stderr, "loader: %s\n", failure.what());
        return 1;
    }
    return 0;
}
