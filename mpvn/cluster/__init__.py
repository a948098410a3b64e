"""Networks whose subnetworks run on several devices and hosts, by TensorFlow's own runtime.

The servers of TensorFlow have no authentication and listen on all interfaces: whoever reaches their
port runs what they like. Use them in a trusted network only.
"""

from mpvn.cluster.cluster_file import Cluster
from mpvn.cluster.connect import connect

__all__ = ["Cluster", "connect"]
