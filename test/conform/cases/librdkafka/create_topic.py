"""Creates a topic. Arguments: its name and number of partitions."""
import os
import sys

from confluent_kafka.admin import AdminClient, NewTopic

name, partitions = sys.argv[1], int(sys.argv[2])
admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]})
admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
