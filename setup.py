"""Packaging of mpvn. TensorFlow is an extra, so that an installed build of it is kept."""

import pathlib

from setuptools import find_packages, setup

README = pathlib.Path(__file__).parent / "README.md"

setup(
    name="mpvn",
    version="0.1.0",
    description="Depth-parallel, multi-rate, streaming video networks for Keras and TensorFlow",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["mpvn", "mpvn.*", "keras_layers", "keras_layers.*"]),
    package_data={
        "mpvn": ["py.typed", "report/*.html", "serving/page/*"],
        "keras_layers": ["py.typed"],
    },
    install_requires=[
        "absl-py>=2.1",
        "av>=18.0",
        "jinja2>=3.1",
        "keras>=3.12,<4",  # mpvn reads model graphs through Keras's nodes
        "matplotlib>=3.9",
        "ml_collections>=1.0",
        "numpy>=1.26",
        "pillow>=10.1",
        "psutil>=5.9",  # whether other processes disturb a measurement
        "tensorboard>=2.18",
        "tqdm>=4.66",
    ],
    extras_require={
        "cpu": ["tensorflow-cpu>=2.18"],
        "gpu": ["tensorflow[and-cuda]>=2.18"],
        # The OpenCV build that has TV-L1 and needs no display libraries.
        "flow": ["opencv-contrib-python-headless>=4.10"],  # the first release for NumPy 2
        "tfds": [
            "tensorflow-datasets>=4.9.9",
            "importlib_resources>=6.0",
        ],  # an undeclared dependency
        "jhmdb": ["scipy>=1.11"],  # reads MATLAB files
        "hub": ["keras-hub>=0.32,<1"],  # image models; it brings tensorflow-text and so TensorFlow
        "openvino": ["openvino>=2026.4,<2027"],  # fast inference on the CPU
        "int8": ["openvino>=2026.4,<2027", "nncf>=3.4,<4"],  # networks quantized for it
        "onnx": ["tf2onnx>=1.17,<2", "onnx>=1.17", "onnxruntime>=1.20"],  # exports, and their check
        "serving": ["aiohttp>=3.11", "prometheus-client>=0.21", "requests>=2.32"],
        # TensorFlow Serving's protocol brings the package tensorflow: over another build of it,
        # install tensorflow-serving-api with --no-deps.
        "grpc": ["grpcio>=1.66", "tensorflow-serving-api>=2.18"],
        "ray": ["ray[serve]>=2.50"],  # streams on many machines
        "test": [
            "ai-edge-litert>=2.1",  # runs exports, as do onnxruntime and openvino
            "hypothesis>=6.100",
            "ipykernel>=6.29",  # runs notebooks
            "nbclient>=0.10",
            "nbformat>=5.10",
            "onnxruntime>=1.20",
            "playwright>=1.50",  # drives a browser, where there is one
            "pytest>=8.0",
            "pytest-xdist>=3.6",
        ],
        "lint": ["ruff>=0.9", "mypy>=1.14", "import-linter>=2.17"],
    },
    entry_points={"console_scripts": ["mpvn=mpvn.cli:main"]},
)
